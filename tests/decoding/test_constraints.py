"""Something is left whatever is forbidden, and scores are what Wu et al. say."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from automaton import Automaton, Rules, all_answers

from lmtool.api.texts import Hypothesis
from lmtool.decoding import LEAST, Prefixes, Target, decode, hypotheses
from lmtool.settings import DecodingConfig

HALF, END = 2, 1
"""Ids of a vocabulary of three."""


def answers(steps: list[list[float]], attention: list[list[float]] | None = None, **settings: Any) -> list[Hypothesis]:
    """Of a model that gives the same probabilities whatever was said, step by step, its last ones for good."""
    arrays = {name: settings.pop(name) for name in ("prefixes", "source_mask") if name in settings}
    log_probs = jnp.log(jnp.array(steps))

    def step(memory: None, state: jax.Array, ids: jax.Array) -> tuple[jax.Array, jax.Array | None, jax.Array]:
        at = jnp.minimum(state, len(steps) - 1)
        return log_probs[at], None if attention is None else jnp.array(attention)[at], state + 1

    decoding = DecodingConfig.model_validate(settings)
    (found,) = hypotheses(decode(step, jnp.zeros(1, jnp.int32), Target(3, END, 4), decoding, **arrays))
    return found


@pytest.mark.parametrize("beam", [1, 3])
def test_an_answer_that_nothing_may_follow_ends_before_its_least_length(beam: int):
    # No token twice, and two of them: after both nothing is left but the end, of probability 0.2.
    (found,) = answers([[0.5, 0.2, 0.3]], beam=beam, no_repeat_ngram=1, min_length=4)

    assert sorted(found.ids.tolist()) == [0, HALF]
    assert found.log_prob == pytest.approx(math.log(0.5 * 0.3 * 0.2), rel=1e-5)


@pytest.mark.parametrize("settings", [{"beam": 1}, {"beam": 3}, {"sample": True}], ids=str)
def test_what_is_forced_though_impossible_has_a_finite_log_probability(settings: dict[str, Any]):
    model = jnp.log(jnp.array([0.5, 0.0, 0.5]))

    def step(memory: None, state: jax.Array, ids: jax.Array) -> tuple[jax.Array, None, jax.Array]:
        return jnp.broadcast_to(model, (*ids.shape, 3)), None, state

    decoding = DecodingConfig.model_validate({"no_repeat_ngram": 1, **settings})
    chance = {"key": jax.random.key(0), "numbers": jnp.arange(1)}
    ((found,),) = hypotheses(decode(step, jnp.zeros(1), Target(3, END, 4), decoding, **chance))

    assert sorted(found.ids.tolist()) == [0, HALF]
    assert found.log_prob == pytest.approx(LEAST)


def test_prefixes_of_different_lengths_lie_side_by_side():
    model = Automaton.random(1, vocab=4)
    prefixes = Prefixes(jnp.array([[2, 2, 3], [0, 0, 0], [3, 0, 0]], jnp.int32), jnp.array([3, 0, 1]))
    decoding = DecodingConfig.model_validate({"beam": 48, "n_best": 2})

    found = hypotheses(model.decode(jnp.arange(3), 3, decoding, prefixes=prefixes))

    for document, prefix in enumerate([(2, 2, 3), (), (3,)]):
        expected = all_answers(model, document, Rules(max_length=3, prefix=prefix))[:2]
        assert [tuple(one.ids.tolist()) for one in found[document]] == [answer.ids for answer in expected]


def test_a_cut_off_answer_has_no_end_and_comes_after_those_that_have_one():
    # "0 0 0 0" has 0.8 ** 4 without an end; an end now and then has 0.1.
    first, *others = answers([[0.8, 0.1, 0.1]], beam=4, n_best=4, length_penalty=0.0)

    assert first.ids.tolist() == []
    assert first.log_prob == pytest.approx(math.log(0.1))
    assert [one.ids.tolist() for one in others] == [[0], [0, 0], [0, 0, 0]]
    (greedy,) = answers([[0.8, 0.1, 0.1]], beam=1)
    assert greedy.ids.tolist() == [0, 0, 0, 0]
    assert greedy.log_prob == pytest.approx(4 * math.log(0.8))


def test_of_equal_answers_those_with_lower_ids_come_first():
    third = [1 / 3, 1 / 3, 1 / 3]

    found = answers([third, [0.0, 1.0, 0.0]], beam=3, n_best=3, length_penalty=0.0)

    assert [one.ids.tolist() for one in found] == [[], [0], [HALF]]


def test_coverage_penalty_of_two_steps_by_hand():
    # One token, then the end. The first place is attended to by 0.7 + 0.5, at most 1; the second by 0.3 + 0.1; the
    # third is padding.
    attention = [[0.7, 0.3, 0.0], [0.9, 0.1, 0.0]]
    mask = jnp.array([[True, True, False]])

    for beam in (1, 2):
        (found,) = answers(
            [[0.6, 0.3, 0.1], [0.0, 1.0, 0.0]],
            attention,
            beam=beam,
            length_penalty=2.0,
            coverage_penalty=0.5,
            source_mask=mask,
            min_length=1,
        )

        assert found.ids.tolist() == [0]
        assert found.score == pytest.approx(math.log(0.6) / 1.0**2 + 0.5 * math.log(0.3 + 0.1))
        assert found.sources is not None
        assert found.sources.tolist() == [0]


def test_exhaustive_search_with_coverage_and_attended_places():
    model = Automaton.random(4, vocab=4, places=3)
    assert model.attention is not None
    decoding = DecodingConfig.model_validate({"beam": 48, "n_best": 4, "coverage_penalty": 0.7})

    for document, found in enumerate(hypotheses(model.decode(jnp.arange(6), 3, decoding))):
        expected = all_answers(model, document, Rules(max_length=3, beta=0.7))[:4]
        assert [tuple(one.ids.tolist()) for one in found] == [answer.ids for answer in expected]
        assert [one.score for one in found] == pytest.approx([answer.score for answer in expected], rel=1e-5)
        for one in found:
            attended = model.attention[model.states(document, one.ids.tolist())].argmax(axis=1)
            np.testing.assert_array_equal(one.sources, attended[: len(one.ids)])
