"""Beam search finds what trying everything finds, and gives each document what it would get alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from automaton import Automaton, Rules, all_answers

from lmtool.api.texts import Hypothesis
from lmtool.decoding import Answers, Prefixes, hypotheses
from lmtool.settings import DecodingConfig

DOCUMENTS = jnp.arange(6, dtype=jnp.int32)
ALL = 48
"""A beam that holds all answers of the little models: of 4 tokens, 3 are no ends, and at most 3 of these make an
answer: 1 + 3 + 9 that end, and 27 that are cut off."""


def config(**settings: Any) -> DecodingConfig:
    return DecodingConfig.model_validate(settings)


def run(model: Automaton, documents: jax.Array, max_length: int, **settings: Any) -> Answers:
    arrays = {name: settings.pop(name) for name in ("prefixes", "source_mask", "rows") if name in settings}
    return model.decode(documents, max_length, config(**settings), **arrays)


def check(found: list[Hypothesis], model: Automaton, document: int, rules: Rules, n_best: int) -> None:
    expected = all_answers(model, document, rules)[:n_best]
    assert [tuple(one.ids.tolist()) for one in found] == [one.ids for one in expected]
    assert [one.log_prob for one in found] == pytest.approx([one.log_prob for one in expected], rel=1e-5)
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], rel=1e-5)


RULES = [
    Rules(max_length=3),
    Rules(max_length=3, alpha=0.0),
    Rules(max_length=3, alpha=3.0),
    Rules(max_length=3, min_length=2),
    Rules(max_length=3, no_repeat_ngram=1),
    Rules(max_length=3, no_repeat_ngram=2, alpha=2.0),
    Rules(max_length=3, no_repeat_ngram=1, min_length=3),
    Rules(max_length=3, prefix=(2, 2)),
    Rules(max_length=3, prefix=(3, 3), no_repeat_ngram=1, min_length=3),
    Rules(max_length=1),
]


@pytest.mark.parametrize(("rules", "n_best"), [(rules, 4) for rules in RULES] + [(rules, 1) for rules in RULES[1:3]])
def test_a_beam_as_large_as_the_space_finds_what_trying_everything_finds(rules: Rules, n_best: int):
    settings: dict[str, Any] = {
        "beam": ALL,
        "n_best": n_best,
        "length_penalty": rules.alpha,
        "min_length": rules.min_length,
        "no_repeat_ngram": rules.no_repeat_ngram,
    }
    if rules.prefix:
        ids = jnp.tile(jnp.array(rules.prefix, jnp.int32), (len(DOCUMENTS), 1))
        settings["prefixes"] = Prefixes(ids, jnp.full(len(DOCUMENTS), len(rules.prefix)))
    for seed in range(8):
        model = Automaton.random(seed, vocab=4)

        answers = hypotheses(run(model, DOCUMENTS, rules.max_length, **settings))

        for document, found in enumerate(answers):
            check(found, model, document, rules, n_best)


def test_a_beam_of_one_is_greedy_search():
    model = Automaton.random(0, vocab=9)
    answers = hypotheses(run(model, DOCUMENTS, 12, beam=1))

    for document, (found,) in enumerate(answers):
        ids: list[int] = []
        while len(ids) < 12 and (token := int(model.log_probs(document, ids)[-1].argmax())) != 1:
            ids.append(token)
        assert found.ids.tolist() == ids


@pytest.mark.parametrize(
    "settings", [{"beam": 1}, {"beam": 4, "n_best": 3}, {"beam": 4, "length_penalty": 0.0}], ids=str
)
def test_a_documents_answers_do_not_depend_on_those_beside_it(settings: dict[str, Any]):
    model = Automaton.random(3, vocab=40, places=5)
    documents = jnp.arange(32, dtype=jnp.int32)
    whole = run(model, documents, 15, **settings)

    order = np.random.default_rng(0).permutation(32)
    shuffled = run(model, documents[order], 15, **settings)
    alone = [run(model, documents[i : i + 1], 15, **settings) for i in range(4)]
    padded = run(model, documents, 15, rows=documents < 4, **settings)

    for name, array in whole._asdict().items():
        np.testing.assert_array_equal(np.asarray(array)[order], getattr(shuffled, name))
        np.testing.assert_array_equal(array[:4], np.concatenate([getattr(one, name) for one in alone]))
        np.testing.assert_array_equal(array[:4], getattr(padded, name)[:4])
