"""Lines and records to answers, and answers to lines; the model's answers are known beforehand."""

from __future__ import annotations

import json

import pytest
from fake_models import Letters, Spelling

from lmtool.errors import DataError
from lmtool.evaluation.answers import AnswerText
from lmtool.incoming import Entry, Form
from lmtool.prediction_texts import AT_ONCE, Answering, Begin, TextLayout, numbered
from lmtool.settings import DecodingConfig

LETTERS = Letters("abc")
SPELLED = AnswerText(LETTERS, LETTERS)


def answering(*, begin=None, seed=0, **decoding):
    return Answering(Spelling(), SPELLED, DecodingConfig(**decoding), begin or Begin(), seed)


def test_documents_are_numbered_on_whatever_the_pieces_are():
    form = Form("in.jsonl", ("text",))
    record = '{"text": "a"}\n'

    together = list(numbered([record + "\n" + record + record], form))
    apart = list(numbered([record + "\n", "", record, record], form))

    assert [one.first for one in together] == [0]
    assert [one and (one.first, one.lines.first) for one in apart] == [(0, 1), None, (1, 3), (2, 4)]


def test_a_model_is_never_given_more_than_so_many_documents():
    pieces = list(numbered(["a\n" * (AT_ONCE + 1)], Form("-")))

    assert [(len(piece.lines.lines), piece.first) for piece in pieces] == [(AT_ONCE, 0), (1, AT_ONCE)]


def test_the_sample_of_a_document_depends_on_its_number_and_the_seed():
    entries = [Entry("abc")] * 4

    together = answering(sample=True, seed=1).answers(entries)
    alone = [answering(sample=True, seed=1).answers(entries[:1], number)[0] for number in range(4)]

    # the fake's sample is the letter of that number plus the seed
    assert [one.texts for one in together] == [("b",), ("c",), ("a",), ("b",)]
    assert [one.texts for one in alone] == [one.texts for one in together]
    assert [one.number for one in alone] == [1, 2, 3, 4]


def test_answers_are_lines_in_order_or_records_with_all_of_them():
    (one,) = answering(n_best=2).answers([Entry("ab", {"id": 7})], 4)

    assert TextLayout().plain(one) == "ab\n"
    assert TextLayout(scores=True).plain(one) == "-0.5\t-1\tab\n"
    assert TextLayout(n_best=True).plain(one) == "5\tab\n5\tabab\n"
    assert json.loads(TextLayout(text=True, field="body").to_json(one)) == {"id": 7, "body": "ab", "answer": "ab"}
    assert json.loads(TextLayout(n_best=True, prefix="x_").to_json(one)) == {
        "id": 7,
        "x_n_best": [
            {"answer": "ab", "score": -0.5, "log_prob": -1.0},
            {"answer": "abab", "score": -1.0, "log_prob": -2.0},
        ],
    }


def test_nothing_of_a_record_is_written_over():
    (one,) = answering().answers([Entry("ab", {"answer": "b"})])

    with pytest.raises(DataError, match="a record has a field 'answer'") as error:
        TextLayout().to_json(one)

    assert "--prefix predicted_" in error.value.hint


def test_an_answer_begins_as_asked():
    records = [Entry("ab", {"so": "cc"}), Entry("ab", {"so": None}), Entry("ab")]

    same = answering(begin=Begin("b")).answers(records)
    own = answering(begin=Begin(field="so")).answers(records)

    assert [one.texts for one in same] == [("bab",)] * 3
    assert [one.texts for one in own] == [("ccab",), ("ab",), ("ab",)]


@pytest.mark.parametrize(
    ("value", "message"), [("a\nb", "an answer is one line"), (3, "field 'so' must be a string, got 3")]
)
def test_what_is_no_line_begins_no_answer(value, message):
    with pytest.raises(DataError, match=message):
        answering(begin=Begin(field="so")).answers([Entry("ab", {"so": value})])


def test_a_line_end_in_an_answer_is_a_space():
    spelled = AnswerText(LETTERS, Letters("a\rc"))

    (one,) = Answering(Spelling(), spelled, DecodingConfig()).answers([Entry("abc")])

    assert TextLayout().plain(one) == "a c\n"


def test_no_documents_are_no_answers():
    model = Spelling()

    assert Answering(model, SPELLED, DecodingConfig()).answers([]) == []
    assert model.asked == []
