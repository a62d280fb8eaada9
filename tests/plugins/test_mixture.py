"""Linear mixtures: what they give, how their weights are found, what they keep."""

from __future__ import annotations

import errno
import json
import logging
import os

import mixture_corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool import em
from lmtool.errors import ConfigError, DataError
from lmtool.run import Run
from lmtool_mixture.config import MixtureConfig
from lmtool_mixture.ensemble import Ensemble
from lmtool_mixture.linear import mix
from lmtool_mixture.model import Mixture


@pytest.fixture(scope="module")
def corpus():
    return mixture_corpus.made()


def fit(corpus, **config):
    return corpus.fit(Mixture(MixtureConfig(**config)))


def score(model, ids):
    return np.asarray(model.score(ids, model.initial_state(len(ids)))[0])


# Mixing ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weights", "part"), [([1.0, 0.0], 0), ([0.0, 1.0], 1)])
def test_a_part_that_has_all_the_weight_is_the_mixture(corpus, weights, part):
    runs = corpus.run("trigram"), corpus.run("lstm")
    model, alone = fit(corpus, runs=list(runs), weights=weights), corpus.model(runs[part])

    np.testing.assert_allclose(score(model, corpus.ids), score(alone, corpus.ids), atol=1e-6)
    _, state = model.score(corpus.ids, model.initial_state(len(corpus.ids)))
    _, expected = alone.score(corpus.ids, alone.initial_state(len(corpus.ids)))
    np.testing.assert_allclose(model.next_log_probs(state), alone.next_log_probs(expected), atol=1e-6)


def test_probabilities_are_weighted_and_added(corpus):
    runs = [corpus.run("trigram"), corpus.run("unigram")]
    first, second = (np.exp(score(corpus.model(run), corpus.ids)) for run in runs)

    mixed = score(fit(corpus, runs=runs, weights=[0.25, 0.75]), corpus.ids)

    np.testing.assert_allclose(np.exp(mixed), 0.25 * first + 0.75 * second, rtol=1e-9)


def test_what_no_part_can_say_stays_impossible():
    log_probs = np.log([[[0.5, 1e-300]], [[0.1, 1e-300]]])
    log_probs[:, 0, 1] = -np.inf

    mixed = mix(log_probs, np.log([0.5, 0.5]))

    assert mixed[0, 0] == pytest.approx(np.log(0.3))
    assert mixed[0, 1] == -np.inf


def test_an_ngram_part_starts_each_line_anew_while_a_neural_one_reads_on(corpus):
    model = Ensemble([corpus.model(corpus.run("trigram")), corpus.model(corpus.run("lstm"))])
    eos_id = corpus.dataset.eos_id
    ids = np.array([[*corpus.ids[0, :5], eos_id]])

    _, after = model.score(ids, model.initial_state(1))
    (ngram_fresh, lstm_fresh) = model.next_log_probs(model.initial_state(1))
    (ngram_after, lstm_after) = model.next_log_probs(after)

    np.testing.assert_allclose(ngram_after, ngram_fresh)
    assert np.abs(lstm_after - lstm_fresh).max() > 1e-3
    assert model.stateful
    assert not Ensemble([corpus.model(corpus.run("trigram"))] * 2).stateful


def test_a_mixture_can_be_part_of_a_mixture(corpus, tmp_path):
    trigram, unigram, lstm = (corpus.run(name) for name in ("trigram", "unigram", "lstm"))
    inner = corpus.train("inner", "mixture", f'model.runs=["{trigram}","{unigram}"]', "model.weights=[0.5,0.5]")

    outer = fit(corpus, runs=[inner, lstm], weights=[0.8, 0.2])

    flat = fit(corpus, runs=[trigram, unigram, lstm], weights=[0.4, 0.4, 0.2])
    np.testing.assert_allclose(score(outer, corpus.ids), score(flat, corpus.ids), atol=1e-9)


# Weights --------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 60))
def test_no_step_of_em_lowers_the_likelihood(seed, parts, tokens):
    log_probs = np.log(np.random.default_rng(seed).uniform(1e-6, 1, (parts, tokens)))
    weights, last = np.full(parts, 1 / parts), -np.inf
    for _ in range(10):
        log_likelihood, gains = em.step(log_probs, weights)

        assert log_likelihood >= last - 1e-12

        weights, last = weights * gains, log_likelihood
        assert weights.sum() == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_weights_of_two_parts_are_those_that_a_search_finds(seed, tokens):
    first, second = np.random.default_rng(seed).uniform(1e-4, 1, (2, tokens))
    grid = np.linspace(0, 1, 1001)
    best = max(np.log(w * first + (1 - w) * second).mean() for w in grid)

    tuned = em.tune(np.log([first, second]))

    w = tuned.weights[0]
    assert tuned.log_likelihood == pytest.approx(np.log(w * first + (1 - w) * second).mean(), abs=1e-12)
    assert tuned.log_likelihood >= best - em.TOLERANCE


def test_how_the_text_is_cut_into_blocks_changes_nothing(monkeypatch):
    log_probs = np.log(np.random.default_rng(0).uniform(size=(3, 100)))
    whole = em.tune(log_probs)
    monkeypatch.setattr(em, "BLOCK", 7)

    np.testing.assert_allclose(em.tune(log_probs).weights, whole.weights, rtol=1e-9)


def test_tokens_that_nobody_can_say_have_no_say_in_the_weights():
    log_probs = np.log([[0.9, 0.2, 0.5], [0.3, 0.6, 0.5]])
    impossible = np.concatenate([log_probs, np.full((2, 4), -np.inf)], axis=1)

    tuned = em.tune(impossible)

    np.testing.assert_allclose(tuned.weights, em.tune(log_probs).weights)
    assert tuned.log_likelihood == -np.inf


def test_tokens_that_only_parts_of_no_weight_can_say_are_impossible():
    log_probs = np.array([[np.log(0.5), -np.inf], [np.log(0.1), np.log(0.9)]])

    log_likelihood, gains = em.step(log_probs, np.array([1.0, 0.0]))

    assert log_likelihood == -np.inf
    np.testing.assert_allclose(gains, [1.0, 0.2])  # of the first token alone


def test_a_disk_that_is_too_full_to_tune_on_is_said(corpus, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    runs = [corpus.run("trigram"), corpus.run("unigram")]  # are trained while there is space
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)

    for mode in ("linear", "log-linear"):
        with pytest.raises(DataError, match="no space left"):
            fit(corpus, runs=runs, mode=mode)


def test_a_search_that_is_cut_short_says_how_far_it_is_from_the_best(caplog):
    log_probs = np.log(np.random.default_rng(1).uniform(size=(2, 50)))
    best = em.tune(log_probs).log_likelihood
    with caplog.at_level(logging.WARNING):
        tuned = em.tune(log_probs, max_iterations=1)

    assert "after 1 iterations" in caplog.text
    assert best <= tuned.log_likelihood + tuned.gap


def test_tuned_weights_come_from_the_validation_split_alone(corpus):
    runs = [corpus.run("trigram"), corpus.run("unigram")]
    split = corpus.dataset.split("valid")
    ids = split.read(0, split.num_tokens)[None]
    expected = em.tune(np.stack([score(corpus.model(run), ids)[0] for run in runs]))

    model = fit(corpus, runs=runs, batch_size=3)

    np.testing.assert_allclose(model.weights, expected.weights, atol=1e-9)
    assert model.weights[0] > 0.5  # the better part


def test_no_part_alone_is_better_than_the_mixture_on_what_it_was_tuned_on(corpus):
    runs = [corpus.run("trigram"), corpus.run("lstm"), corpus.run("unigram")]
    split = corpus.dataset.split("valid")
    ids = split.read(0, split.num_tokens)[None]
    alone = [score(corpus.model(run), ids).mean() for run in runs]

    assert score(fit(corpus, runs=runs), ids).mean() >= max(alone) - em.TOLERANCE


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5], "one entry for each of the 2 parts, got 1"),
        ([1.5, -0.5], "0 or more and sum to one"),
        ([0.5, 0.4], "0 or more and sum to one"),
    ],
)
def test_weights_that_are_none_are_refused(corpus, weights, message):
    with pytest.raises(ConfigError, match=message):
        fit(corpus, runs=["a", "b"], weights=weights)


def test_parts_of_other_tokenizers_are_named_with_whom_they_do_not_fit(corpus):
    trigram, stranger = corpus.run("trigram"), mixture_corpus.made("byte").run("unigram")

    with pytest.raises(ConfigError, match=f"{stranger} has another tokenizer than {trigram}"):
        fit(corpus, runs=[trigram, stranger])


def test_a_run_that_is_not_finished_is_mixed_with_a_warning(corpus, tmp_path, caplog):
    corpus.copy("trigram", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "state": "started"}))

    with caplog.at_level(logging.WARNING):
        fit(corpus, runs=[str(tmp_path / "run")], weights=[1.0])

    assert "is not finished" in caplog.text


def test_without_a_validation_split_weights_must_be_given(corpus, monkeypatch):
    runs = [corpus.run("trigram"), corpus.run("unigram")]
    monkeypatch.setitem(corpus.dataset.record, "splits", {"train": corpus.dataset.record["splits"]["train"]})

    with pytest.raises(DataError, match="no valid split") as error:
        fit(corpus, runs=runs)
    assert "model.weights" in error.value.hint
    assert fit(corpus, runs=runs, weights=[0.5, 0.5]).weights == (0.5, 0.5)


# On disk --------------------------------------------------------------------------------------------------------------


def test_a_mixture_needs_none_of_the_runs_that_it_was_made_of(corpus, tmp_path):
    runs = []
    for name in ("trigram", "lstm"):
        copy = tmp_path / name
        corpus.copy(name, copy)
        runs.append(copy)
    mixture = corpus.train(tmp_path / "mix", "mixture", f'model.runs=["{runs[0]}","{runs[1]}"]')
    expected = score(fit(corpus, runs=list(map(str, runs))), corpus.ids)
    for run in runs:
        corpus.remove(run)

    np.testing.assert_allclose(score(corpus.model(mixture), corpus.ids), expected, atol=1e-9)


def test_parts_that_were_trained_anew_are_noticed_and_those_that_are_gone_are_not_missed(corpus, tmp_path):
    part, mixture = tmp_path / "part", tmp_path / "mix"
    corpus.copy("trigram", part)
    settings = ("mixture", f'model.runs=["{part}"]')
    corpus.train(mixture, *settings)

    corpus.remove(part)
    corpus.train(mixture, *settings)
    corpus.copy("unigram", part)

    with pytest.raises(ConfigError, match=rf"{mixture} was begun with another content of model\.runs\.0, {part}"):
        corpus.train(mixture, *settings)


def test_the_run_says_what_it_mixes_and_how(corpus, tmp_path):
    trigram = corpus.run("trigram")
    settings = [f'model.runs=["{trigram}"]', 'model.caches=[{kind="unigram",window=5}]', "model.weights=[0.75,0.25]"]
    run = corpus.train(tmp_path / "mix", "mixture", *settings)

    result = Run.open(run).result

    assert result["parts"] == [
        {"run": trigram, "weight": 0.75},
        {"cache": "unigram", "window": 5, "weight": 0.25},
    ]
    assert result["valid_token_perplexity"] > 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({}, "it has no 'format'"),
        ({"format": 9}, "format 9 is not known"),
        ({"mode": "other"}, "does not go together"),
        ({"weights": [0.5, 0.5]}, "does not go together"),
        ({"weights": [float("nan")]}, "its weights are no numbers"),
        ({"runs": [], "weights": []}, "does not go together"),
        ({"runs": [], "caches": [{"kind": "unigram", "window": 5}]}, "does not go together"),
        ({"caches": [{"kind": "clock", "window": 5}]}, "no cache is of kind 'clock'"),
        ({"caches": [{"kind": "unigram", "window": 0}]}, r"its caches cannot be made$"),
        ({"weights": [0.5, 0.5], "caches": [{"kind": "unigram", "window": [5, 6]}]}, "its caches cannot be made"),
        (
            {"weights": [0.5, 0.5], "caches": [{"kind": "neural", "run": "b", "window": 5, "theta": 1.0}]},
            "its caches cannot be made",
        ),
    ],
)
def test_a_damaged_record_is_named(tmp_path, damage, reason):
    right = {"format": 1, "mode": "linear", "runs": ["a"], "caches": [], "weights": [1.0]}
    (tmp_path / "mixture.json").write_text(json.dumps({**right, **damage} if damage else []))

    with pytest.raises(DataError, match=rf"mixture\.json.*{reason}"):
        Mixture(MixtureConfig(runs=["a"])).load(tmp_path)
