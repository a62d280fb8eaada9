"""Documents and targets, scored pair by pair; what the model gives is known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fake_models import Letters, Spelling
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.conditions import parse
from lmtool.data.targets import TargetFields
from lmtool.errors import DataError
from lmtool.incoming import Form, as_documents, in_pieces
from lmtool.score_output import columns, record_objects
from lmtool.scoring_pairs import PAIR_QUANTITIES, PairForm, score_pairs

LETTERS = Letters("abc")
MODEL = Spelling(sure=0.6)
"""Gives the document's own letters 0.6 each, their end, too, and each of the four other tokens 0.1."""
FORM = PairForm(Form("in.jsonl", ("source",)), TargetFields(("target",)))
PAIRS = st.lists(st.tuples(st.text("abcz", max_size=9), st.text("abcz", max_size=9)), max_size=12)


def records(pairs):
    return "".join(json.dumps({"id": i, "source": a, "target": b}) + "\n" for i, (a, b) in enumerate(pairs))


def scored(text, form=FORM):
    """The scores of each piece of a text."""
    return [score_pairs(MODEL, LETTERS, LETTERS, form.pairs(lines)) for lines in in_pieces([text] if text else [])]


def together(pairs):
    return score_pairs(MODEL, LETTERS, LETTERS, [pair for one in scored(records(pairs)) for pair in one.pairs])


def test_a_target_costs_its_tokens_and_its_end_given_the_document():
    # "ab" for "abc": a and b are right, the end is not; for "ab" it is
    scores = together([("abc", "ab"), ("ab", "ab"), ("a", "")])

    wrong, right = -np.log(0.1), -np.log(0.6)
    assert scores.nats == pytest.approx([2 * right + wrong, 3 * right, wrong])
    assert scores.tokens.tolist() == [3, 3, 1]
    assert scores.token_perplexity[2] == pytest.approx(10)
    # one word and the end of the target; of the document, its own
    assert scores.word_perplexity[1] == pytest.approx(np.exp(3 * right / 2))
    assert (scores.source_words.tolist(), scores.source_chars.tolist()) == ([1, 1, 1], [3, 2, 1])


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_nats_are_the_sum_of_what_the_model_gives_the_target(pairs):
    scores = together(pairs)

    documents = as_documents(LETTERS, [document for document, _ in pairs])
    targets = [np.array(LETTERS.encode(target), np.int32) for _, target in pairs]
    expected = MODEL.target_log_probs(documents, targets)
    assert scores.nats == pytest.approx([-one.sum() for one in expected], rel=1e-12)
    assert scores.tokens.tolist() == [len(target) + 1 for _, target in pairs]
    assert scores.unknown.tolist() == [target.count("z") for _, target in pairs]


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.integers(1, 5))
def test_how_the_input_comes_changes_nothing(pairs, size):
    pieces = in_pieces([records(pairs)] if pairs else [], size)
    apart = [score_pairs(MODEL, LETTERS, LETTERS, FORM.pairs(lines)) for lines in pieces]

    whole = together(pairs)
    assert "".join(map(columns, apart)) == columns(whole)
    assert "".join(record_objects(one, tokens=True) for one in apart) == record_objects(whole, tokens=True)


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.floats(0, 12))
def test_a_filter_keeps_the_records_for_which_it_holds_as_they_are_written(pairs, limit):
    scores, text = together(pairs), records(pairs)
    condition = parse(f"nats < {limit!r} and source_chars >= chars - 1", PAIR_QUANTITIES)

    kept = condition(lambda name: getattr(scores, name), len(scores))

    holds = [cost < limit and len(a) >= len(b) for cost, (a, b) in zip(scores.nats, pairs, strict=True)]
    lines = [line for line, one in zip(text.splitlines(keepends=True), holds, strict=True) if one]
    assert scores.kept_text(kept) == "".join(lines)
    chosen = scores.select(kept)
    assert [pair.line + "\n" for pair in chosen.pairs] == lines
    assert chosen.nats == pytest.approx(scores.nats[kept])
    every = record_objects(scores, tokens=True).splitlines()
    assert record_objects(chosen, tokens=True).splitlines() == [
        one for one, keep in zip(every, holds, strict=True) if keep
    ]


def test_a_record_keeps_its_fields_and_has_the_figures_behind_them():
    record = {"id": 7, "source": "ab", "note": "é\ud800", "its": {"target": ["ab", "c"]}}
    form = PairForm(FORM.document, TargetFields(("other", "its.target")))
    (scores,) = scored("\n" + json.dumps(record) + "\n", form)

    (line,) = record_objects(scores, tokens=True, prefix="50% ").splitlines()

    found = json.loads(line)
    figures = ("nats", "tokens", "unknown", "token_perplexity", "word_perplexity", "bits_per_byte", "token_scores")
    assert list(found) == [*record, *(f"50% {name}" for name in figures)]
    assert {name: found[name] for name in record} == record
    # the first of its targets
    assert found["50% nats"] == pytest.approx(-3 * np.log(0.6))
    assert [one["token"] for one in found["50% token_scores"]][:2] == ["a", "b"]


def test_a_field_that_has_the_name_of_a_figure_is_no_accident():
    (scores,) = scored('{"source": "a", "target": "a", "nats": 3}\n')

    assert columns(scores).startswith("1.0216")
    assert json.loads(record_objects(scores, prefix="b_"))["nats"] == 3
    with pytest.raises(DataError, match="a record has a field 'nats', and so does what is scored"):
        record_objects(scores)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"source": "a"}', "in.jsonl:1 has no target in a field 'target'"),
        ('{"source": "a", "target": null}', "in.jsonl:1 has no target in a field 'target'"),
        ('{"source": "a", "target": []}', "the list of targets in field 'target' is empty"),
        ('{"source": "a", "target": 3}', "in.jsonl:1: field 'target': a target must be a text, got 3"),
        ('{"target": "a"}', "in.jsonl:1: no field 'source'"),
        ("a\tb", "in.jsonl:1: not JSON"),
        ("[1]", "in.jsonl:1: must be an object"),
    ],
)
def test_a_line_that_is_no_pair_is_named(line, message):
    with pytest.raises(DataError) as caught:
        scored(line + "\n")

    assert message in str(caught.value)
