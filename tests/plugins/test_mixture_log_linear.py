"""Log-linear mixtures: what they give, and how their weights are found."""

from __future__ import annotations

import mixture_corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.errors import ConfigError
from lmtool_mixture import newton
from lmtool_mixture.config import MixtureConfig
from lmtool_mixture.loglinear import normalised
from lmtool_mixture.model import Mixture
from lmtool_mixture.newton import Sample


@pytest.fixture(scope="module")
def corpus():
    return mixture_corpus.made()


def fit(corpus, *runs, **config):
    config = MixtureConfig(runs=[corpus.run(run) for run in runs], mode="log-linear", **config)
    return corpus.fit(Mixture(config))


def score(model, ids):
    return np.asarray(model.score(ids, model.initial_state(len(ids)))[0])


def sample(seed, tokens=40, parts=2, vocab_size=6):
    """Distributions of parts that are right to different degrees about what came."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(tokens, 1, vocab_size))
    logits = truth * rng.uniform(0.5, 2, (1, parts, 1)) + rng.normal(size=(tokens, parts, vocab_size))
    log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    probs = np.exp(truth[:, 0]) / np.exp(truth[:, 0]).sum(axis=1, keepdims=True)
    targets = np.array([rng.choice(vocab_size, p=row) for row in probs])
    return Sample(log_probs.astype(np.float32), targets)


def likelihood(sample, weights):
    """Mean log-likelihood from the definition."""
    products = np.exp(np.einsum("p,npv->nv", weights, sample.log_probs.astype(np.float64)))
    probs = products / products.sum(axis=1, keepdims=True)
    return np.log(probs[np.arange(len(sample.targets)), sample.targets]).mean()


def test_a_part_of_weight_one_beside_parts_of_weight_zero_is_the_mixture(corpus):
    model, alone = fit(corpus, "trigram", "lstm", weights=[1.0, 0.0]), corpus.model(corpus.run("trigram"))
    ids = corpus.ids[:, :20]

    np.testing.assert_allclose(score(model, ids), score(alone, ids), atol=1e-6)


def test_where_all_is_ruled_out_there_is_no_distribution():
    log_probs = np.array([[[0.0, -np.inf], [0.0, -np.inf]], [[-np.inf, 0.0], [0.0, -np.inf]]])

    mixed = normalised(log_probs, np.array([0.5, 0.5]))

    assert mixed.tolist() == [[-np.inf, -np.inf], [0.0, -np.inf]]


def test_the_product_of_powers_is_scaled_to_sum_to_one(corpus):
    model = fit(corpus, "trigram", "unigram", weights=[0.6, 0.7])
    parts = [corpus.model(corpus.run(run)) for run in ("trigram", "unigram")]
    first, second = (np.exp(part.next_log_probs(part.initial_state(1))) for part in parts)

    found = np.exp(model.next_log_probs(model.initial_state(1)))

    product = first**0.6 * second**0.7
    np.testing.assert_allclose(found, product / product.sum(), rtol=1e-9)


@pytest.mark.parametrize("weight", [0.5, -0.5])
def test_what_a_part_rules_out_stays_impossible(weight):
    log_probs = np.log([[[0.5, 0.25, 0.25]], [[0.5, 0.5, 1.0]]])
    log_probs[1, 0, 2] = -np.inf

    mixed = np.exp(normalised(log_probs, np.array([1.0, weight])))

    assert mixed[0, 2] == 0
    assert mixed.sum() == pytest.approx(1)
    # 0.5 against 0.25: the second part finds both alike
    assert mixed[0, 0] == pytest.approx(2 / 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_weights_make_the_sample_more_likely(seed):
    one = sample(seed)

    best = newton.tune(one)

    here = likelihood(one, best)
    for other in np.random.default_rng(seed).normal(best, 0.3, (50, 2)):
        assert likelihood(one, other) <= here + 1e-7


def test_slopes_are_those_of_the_likelihood():
    one, weights, step = sample(1, parts=3), np.array([0.3, 0.9, -0.2]), 1e-4

    found = newton.slope(one, weights)

    assert found.log_likelihood == pytest.approx(likelihood(one, weights), abs=1e-9)
    for part, direction in enumerate(np.eye(3) * step):
        difference = likelihood(one, weights + direction) - likelihood(one, weights - direction)
        assert found.gradient[part] == pytest.approx(difference / (2 * step), abs=1e-6)
        slopes = [newton.slope(one, weights + sign * direction).gradient for sign in (1, -1)]
        np.testing.assert_allclose(found.curvature[part], (slopes[1] - slopes[0]) / (2 * step), atol=1e-6)


def test_how_the_sample_is_cut_changes_nothing(monkeypatch):
    whole = newton.tune(sample(2))
    monkeypatch.setattr(newton, "NUMBERS_AT_ONCE", 30)

    np.testing.assert_allclose(newton.tune(sample(2)), whole, rtol=1e-6)


def test_parts_that_say_the_same_share_the_weight():
    one = sample(3, parts=1)
    twice = Sample(np.concatenate([one.log_probs] * 2, axis=1), one.targets)

    assert newton.tune(twice).sum() == pytest.approx(newton.tune(one)[0], rel=1e-4)


def test_positions_that_a_part_rules_out_count_for_nothing():
    one = sample(4)
    log_probs, targets = one.log_probs.copy(), one.targets
    log_probs[:5, 0, :] = np.where(np.arange(6) == targets[:5, None], -np.inf, log_probs[:5, 0])

    without = Sample(one.log_probs[5:], targets[5:])

    np.testing.assert_allclose(newton.tune(Sample(log_probs, targets)), newton.tune(without), rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_sample_is_what_the_parts_say_along_the_text(corpus, tmp_path, batch_size):
    parts = fit(corpus, "trigram", "lstm", weights=[1.0, 1.0]).parts
    size = 50

    taken = newton.read_sample(parts.ensemble, corpus.dataset, size, batch_size, tmp_path, lambda fraction: None)

    assert size - batch_size <= len(taken.targets) <= size + batch_size
    assert np.exp(taken.log_probs).sum(axis=2) == pytest.approx(1, abs=1e-4)
    if batch_size == 1:
        split = corpus.dataset.split("valid")
        ids = split.read(0, split.num_tokens)
        stride = -(-split.num_tokens // size)
        said = np.stack([score(part.model, ids[None])[0, ::stride] for part in parts.runs], axis=1)
        assert (taken.targets == ids[::stride]).all()
        of_targets = np.take_along_axis(taken.log_probs, taken.targets[:, None, None], axis=2)[..., 0]
        np.testing.assert_allclose(of_targets, said, atol=1e-4)


def test_tuned_weights_are_at_least_as_good_as_any_part_alone(corpus):
    model = fit(corpus, "trigram", "lstm", tuning_tokens=10**6, batch_size=1)
    split = corpus.dataset.split("valid")
    ids = split.read(0, split.num_tokens)[None]

    alone = [score(part.model, ids).mean() for part in model.parts.runs]

    assert score(model, ids).mean() >= max(alone) - 1e-5


def test_caches_are_refused_in_a_log_linear_mixture(corpus):
    with pytest.raises(ConfigError, match="rule out") as error:
        fit(corpus, "trigram", caches=[{"kind": "unigram"}])
    assert "linearly" in error.value.hint
