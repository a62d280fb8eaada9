"""Caches: what they remember, what they give, and how they stand among the parts of a mixture."""

from __future__ import annotations

import mixture_corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool import em
from lmtool.config import EvaluationConfig, choose
from lmtool.errors import ConfigError
from lmtool.evaluation import evaluate
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool_mixture import caches, tuning
from lmtool_mixture.caches import NeuralCache, UnigramCache, empty
from lmtool_mixture.config import MixtureConfig, NeuralCacheConfig, UnigramCacheConfig, candidates
from lmtool_mixture.model import Mixture

VOCAB_SIZE, HIDDEN_SIZE = 5, 3


@pytest.fixture(scope="module")
def corpus():
    return mixture_corpus.made()


def fit(corpus, **config):
    return corpus.fit(Mixture(MixtureConfig(**config)))


def score(model, ids):
    return np.asarray(model.score(ids, model.initial_state(len(ids)))[0])


def text(seed, batch_size=2, length=23):
    """Ids and hidden states of some streams."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(VOCAB_SIZE, size=(batch_size, length)).astype(np.int32)
    return ids, rng.normal(size=(batch_size, length, HIDDEN_SIZE)).astype(np.float32)


def expected(ids, hidden, weight_of, window):
    """float64 [B, T, V]: the probability of each token before each position, from the definition.

    `weight_of(row, t, i)` is the weight at t of the token at i.
    """
    probs = np.zeros((*ids.shape, VOCAB_SIZE))
    for row, t in np.ndindex(ids.shape):
        for i in range(max(t - window, 0), t):
            probs[row, t, ids[row, i]] += weight_of(row, t, i)
    return probs / np.maximum(probs.sum(axis=2, keepdims=True), 1e-300)


CACHES = st.sampled_from(["unigram", "decaying", "neural"])


def made(kind, ids, hidden, window):
    """A cache, and the distributions that it should give."""
    if kind == "unigram":
        return UnigramCache(window), expected(ids, hidden, lambda row, t, i: 1.0, window)
    if kind == "decaying":
        return UnigramCache(window, 2.0), expected(ids, hidden, lambda row, t, i: 0.5 ** ((t - i) / 2), window)

    def similarity(row, t, i):
        return np.exp(0.7 * np.dot(hidden[row, t].astype(float), hidden[row, i]))

    return NeuralCache(window, 0.7), expected(ids, hidden, similarity, window)


@settings(max_examples=40, deadline=None)
@given(CACHES, st.integers(0, 1000), st.integers(1, 30), st.lists(st.integers(0, 23), max_size=4))
def test_a_cache_is_what_its_definition_says_however_the_text_is_cut(kind, seed, window, cuts):
    ids, hidden = text(seed)
    cache, probs = made(kind, ids, hidden, window)

    history, pieces = empty(2), []
    cuts = sorted(cuts)
    for ids_piece, hidden_piece in zip(np.split(ids, cuts, axis=1), np.split(hidden, cuts, axis=1), strict=True):
        piece, history = cache.score(ids_piece, hidden_piece, history)
        pieces.append(piece)

    targets = np.take_along_axis(probs, ids[..., None].astype(np.int64), axis=2)[..., 0]
    np.testing.assert_allclose(np.exp(np.concatenate(pieces, axis=1)), targets, atol=1e-5)
    assert history.ids.shape[1] == min(window, 23)


@settings(max_examples=25, deadline=None)
@given(CACHES, st.integers(0, 1000), st.integers(1, 30), st.integers(0, 22))
def test_the_next_token_is_expected_as_it_is_scored(kind, seed, window, t):
    ids, hidden = text(seed)
    cache, probs = made(kind, ids, hidden, window)
    _, history = cache.score(ids[:, :t], hidden[:, :t], empty(2))

    found = np.exp(cache.next_log_probs(hidden[:, t], history, VOCAB_SIZE))

    np.testing.assert_allclose(found, probs[:, t], atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1.0 if t else 0.0, atol=1e-6)


def test_a_cache_never_sees_the_token_that_it_predicts():
    ids = np.arange(VOCAB_SIZE, dtype=np.int32)[None]  # no token comes twice

    for cache in (UnigramCache(10), NeuralCache(10, 1.0)):
        log_probs, _ = cache.score(ids, np.ones((1, VOCAB_SIZE, HIDDEN_SIZE), np.float32), empty(1))

        assert (log_probs == -np.inf).all()


def test_many_queries_are_looked_at_in_pieces(monkeypatch):
    ids, hidden = text(3, length=50)
    whole, _ = NeuralCache(20, 0.5).score(ids, hidden, empty(2))
    monkeypatch.setattr(caches, "QUERIES", 7)

    np.testing.assert_allclose(np.exp(NeuralCache(20, 0.5).score(ids, hidden, empty(2))[0]), np.exp(whole), atol=1e-6)


def test_a_neural_cache_that_finds_all_states_alike_is_a_unigram_cache():
    ids, hidden = text(4)

    neural, _ = NeuralCache(9, 1.0).score(ids, np.zeros_like(hidden), empty(2))

    np.testing.assert_allclose(neural, UnigramCache(9).score(ids, None, empty(2))[0], atol=1e-6)


# In a mixture ---------------------------------------------------------------------------------------------------------


def cached(corpus, *kinds, weights, **config):
    tables = {"unigram": {"kind": "unigram", "window": 20},
              "neural": {"kind": "neural", "run": corpus.run("lstm"), "window": 20, "theta": 0.5}}  # fmt: skip
    runs = [corpus.run("trigram"), corpus.run("lstm")]
    return fit(corpus, runs=runs, caches=[tables[kind] for kind in kinds], weights=weights, **config)


def test_before_the_first_token_the_other_parts_speak_alone(corpus):
    model = cached(corpus, "unigram", "neural", weights=[0.3, 0.1, 0.4, 0.2])
    without = cached(corpus, weights=[0.75, 0.25])
    fresh = model.initial_state(3)

    np.testing.assert_allclose(model.next_log_probs(fresh), without.next_log_probs(without.initial_state(3)), atol=1e-6)
    np.testing.assert_allclose(score(model, corpus.ids)[:, 0], score(without, corpus.ids)[:, 0], atol=1e-6)


def test_what_was_read_becomes_more_probable(corpus):
    model = cached(corpus, "unigram", weights=[0.5, 0.2, 0.3])
    without = cached(corpus, weights=[0.5 / 0.7, 0.2 / 0.7])
    rare = np.full((1, 8), int(corpus.ids.max()), np.int32)

    assert score(model, rare)[0, -1] > score(without, rare)[0, -1] + 1


def test_a_mixture_with_a_cache_says_that_it_adapts(corpus):
    config, tokenizer = EvaluationConfig(batch_size=1), corpus.dataset.tokenizer
    model, plain = cached(corpus, "unigram", weights=[0.5, 0.3, 0.2]), cached(corpus, weights=[0.5, 0.5])

    results = [evaluate(one, corpus.dataset.split("test"), tokenizer, [], config=config) for one in (model, plain)]

    assert [(one.carried, one.adapts) for one in results] == [(True, True), (True, False)]


def test_the_best_of_the_settings_is_chosen_on_the_validation_split(corpus):
    runs = [corpus.run("unigram")]
    split = corpus.dataset.split("valid")
    ids = split.read(0, split.num_tokens)[None]
    windows = [1, 30, 200]

    def best(window):
        cache = UnigramCache(window).score(ids, None, empty(1))[0]
        return em.tune(np.concatenate([score(corpus.model(runs[0]), ids), cache])).log_likelihood

    model = fit(corpus, runs=runs, caches=[{"kind": "unigram", "window": windows}])

    (cache,) = model.parts.caches
    assert cache.window in windows
    assert best(cache.window) >= max(map(best, windows)) - tuning.ROUGH
    assert len(model.weights) == 2


def test_settings_are_chosen_for_weights_that_are_given(corpus):
    run, windows = corpus.run("unigram"), [1, 5, 50]
    split = corpus.dataset.split("valid")
    ids = split.read(0, split.num_tokens)[None]

    def likelihood(window):
        cache = UnigramCache(window).score(ids, None, empty(1))[0]
        return em.step(np.concatenate([score(corpus.model(run), ids), cache]), np.array([0.6, 0.4]))[0]

    model = fit(corpus, runs=[run], weights=[0.6, 0.4], caches=[{"kind": "unigram", "window": windows}])

    assert model.weights == pytest.approx((0.6, 0.4))
    assert model.parts.caches[0].window == max(windows, key=likelihood)
    assert len({round(likelihood(window), 3) for window in windows}) == 3


def test_every_combination_of_settings_is_a_candidate():
    neural = NeuralCacheConfig(kind="neural", run="a", window=[1, 2], theta=[0.5, 1.0])
    plain = UnigramCacheConfig(kind="unigram", window=7)

    assert [(one.window, one.theta) for one in candidates(neural)] == [(1, 0.5), (1, 1.0), (2, 0.5), (2, 1.0)]
    assert candidates(plain) == [plain]


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"kind": "neural", "run": "elsewhere"}, "run must be one of model.runs, .*, got elsewhere"),
        ({"kind": "neural", "run": "trigram"}, "has no hidden states"),
    ],
)
def test_a_cache_that_has_no_states_to_compare_is_refused(corpus, cache, message):
    run = corpus.run("trigram")
    cache = {**cache, "run": run if cache["run"] == "trigram" else cache["run"]}

    with pytest.raises(ConfigError, match=message):
        fit(corpus, runs=[run], caches=[cache], weights=[0.5, 0.5])


def test_caches_alone_are_no_model(corpus):
    with pytest.raises(ConfigError, match="caches know no new word"):
        fit(corpus, runs=[corpus.run("unigram")], caches=[{"kind": "unigram"}], weights=[0.0, 1.0])


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"kind": "unigram", "window": 0}, "more than 0"),
        ({"kind": "unigram", "window": []}, "more than 0"),
        ({"kind": "unigram", "theta": 1.0}, "unknown key"),
        ({"kind": "trigram"}, "unigram"),
    ],
)
def test_wrong_settings_are_named(cache, message):
    raw = Raw({"model": {"name": "mixture", "runs": ["a"], "caches": [cache]}})
    with pytest.raises(ConfigError, match=message) as error:
        choose(raw, "model", Registry(third_party=False))
    assert "model.caches.0" in error.value.message


@pytest.mark.parametrize("windows", [[1, 300], [300, 1]])
def test_a_token_that_nobody_can_say_leaves_the_choice_of_a_cache(corpus, monkeypatch, windows):
    runs, caches = [corpus.run("unigram")], [{"kind": "unigram", "window": windows}]
    expected = fit(corpus, runs=runs, caches=caches).parts.caches
    read = tuning.part_log_probs

    def with_a_gap(*arguments):
        table = read(*arguments)
        table[:, 5] = -np.inf
        return table

    monkeypatch.setattr(tuning, "part_log_probs", with_a_gap)

    assert fit(corpus, runs=runs, caches=caches).parts.caches == expected
