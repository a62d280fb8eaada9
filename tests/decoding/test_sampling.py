"""Samples have the model's frequencies, and each depends on its document and its number alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from automaton import Automaton, Rules, all_answers
from scipy import stats

from lmtool.decoding import Answers, decode, hypotheses
from lmtool.decoding.sampling import draw, within
from lmtool.settings import DecodingConfig

MODEL = Automaton.random(5, vocab=4)
DRAWS = 4000


def sampled(numbers: np.ndarray, *, seed: int = 0, max_length: int = 2, **settings: Any) -> Answers:
    """Answers to document 0, as if it stood at each of these numbers."""
    decoding = DecodingConfig.model_validate({"sample": True, **settings})
    arrays = {"key": jax.random.key(seed), "numbers": jnp.asarray(numbers, jnp.int32)}
    return MODEL.decode(jnp.zeros(len(numbers), jnp.int32), max_length, decoding, **arrays)


def p_value(observed: np.ndarray, probs: np.ndarray) -> float:
    """Of a chi-square test, those that are expected less than 5 times taken together."""
    expected = probs.astype(np.float64) / probs.sum(dtype=np.float64) * observed.sum()
    rare = expected < 5
    both = [np.append(counts[~rare], counts[rare].sum()) if rare.any() else counts for counts in (observed, expected)]
    return float(stats.chisquare(*both).pvalue)


def test_answers_are_drawn_as_often_as_the_model_says():
    expected = all_answers(MODEL, 0, Rules(max_length=2))
    probs = np.exp([answer.log_prob for answer in expected])
    assert probs.sum() == pytest.approx(1)  # those that end, and those that are cut off

    answers = [tuple(one.ids.tolist()) for (one,) in hypotheses(sampled(np.arange(DRAWS)))]

    assert p_value(np.array([answers.count(answer.ids) for answer in expected]), probs) > 0.01


def test_a_sample_has_the_log_probability_that_the_model_gives_it_whatever_the_temperature():
    expected = {answer.ids: answer.log_prob for answer in all_answers(MODEL, 0, Rules(max_length=2))}

    for (found,) in hypotheses(sampled(np.arange(64), temperature=2.0)):
        assert found.log_prob == pytest.approx(expected[tuple(found.ids.tolist())], rel=1e-5)


def test_the_samples_of_a_document_differ_and_the_best_comes_first():
    (found,) = hypotheses(sampled(np.array([7]), n_best=8, max_length=6))

    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert len({tuple(one.ids.tolist()) for one in found}) > 4


def test_a_sample_depends_on_the_seed_and_the_documents_number_alone():
    numbers = np.arange(16)
    whole = sampled(numbers, max_length=6)
    backwards = sampled(numbers[::-1], max_length=6)
    other = sampled(numbers, seed=1, max_length=6)

    np.testing.assert_array_equal(whole.ids, backwards.ids[::-1])
    np.testing.assert_array_equal(whole.log_probs, backwards.log_probs[::-1])
    assert (np.asarray(whole.ids) != np.asarray(other.ids)).any()


def test_samples_without_a_key_are_an_error():
    decoding = DecodingConfig.model_validate({"sample": True})

    with pytest.raises(ValueError, match="need a `key`"):
        decode(lambda memory, state, ids: None, jnp.zeros(1), MODEL.target(2), decoding)


# Of one token ---------------------------------------------------------------------------------------------------------

LOGITS = np.random.default_rng(2).normal(scale=2.0, size=150).astype(np.float32)
"""Of more tokens than a chunk has."""


def drawn(logits: np.ndarray, count: int = 20_000) -> np.ndarray:
    """How often each token was."""
    uniform = jax.random.uniform(jax.random.key(3), (count, 1))
    tokens = draw(jnp.broadcast_to(jnp.asarray(logits), (count, 1, len(logits))), uniform)
    return np.bincount(np.asarray(tokens).ravel(), minlength=len(logits))


def test_tokens_are_drawn_by_their_probability():
    assert p_value(drawn(LOGITS), np.exp(LOGITS)) > 0.01


def test_a_token_without_probability_is_never_drawn():
    logits = np.where(np.arange(150) % 3 == 1, LOGITS, -np.inf).astype(np.float32)
    ends = jnp.array([[0.0], [1 - 2**-24]])

    assert (drawn(logits) > 0).sum() <= 50
    assert drawn(logits)[np.arange(150) % 3 != 1].sum() == 0
    # the first and the last that have one: 1, and 148 = 3 * 49 + 1
    assert draw(jnp.broadcast_to(jnp.asarray(logits), (2, 1, 150)), ends).ravel().tolist() == [1, 148]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_top_p_keeps_the_smallest_set_that_has_the_share(share: float):
    probs = np.exp(LOGITS.astype(np.float64))
    probs /= probs.sum()
    order = np.argsort(-probs)
    needed = 1 + int(np.sum(np.cumsum(probs[order]) < share))

    kept = np.isfinite(np.asarray(within(jnp.asarray(LOGITS)[None, None], share))[0, 0])

    assert set(np.flatnonzero(kept)) == set(order[:needed])


@pytest.mark.parametrize("settings", [{"top_k": 2}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.6}], ids=str)
def test_only_the_likeliest_tokens_are_drawn_and_these_by_their_probability(settings: dict[str, Any]):
    logits = MODEL.log_probs(0, [])[0].astype(np.float64) / 0.8
    probs = np.exp(logits)
    order = np.argsort(-probs)[: settings.get("top_k", 4)]
    shares = np.cumsum(probs[order]) / probs[order].sum()
    support = order[: 1 + int(np.sum(shares < settings.get("top_p", 1.0) - 1e-9))]

    found = sampled(np.arange(DRAWS), max_length=1, temperature=0.8, **settings)
    # token 1 is the end
    tokens = np.where(np.asarray(found.lengths)[:, 0] == 0, 1, np.asarray(found.ids)[:, 0, 0])

    counts = np.bincount(tokens, minlength=4)
    assert set(np.flatnonzero(counts)) == set(support)
    assert len(support) == 1 or p_value(counts[support], probs[support]) > 0.01
