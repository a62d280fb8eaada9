"""Lines and records to documents, and verdicts to lines of output."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fake_models import Counting, Letters
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.errors import DataError
from lmtool.incoming import AT_ONCE, Entry, Form, Lines, as_documents, in_pieces
from lmtool.prediction_classes import judge
from lmtool.prediction_output import Layout

TOKENIZER = Letters("abc")
RECORDS = Form("in.jsonl", ("text",))


def verdict(text="aab", *, fields=None, multi_label=False, threshold=0.5):
    model = Counting(multi_label=multi_label)
    return judge(model, TOKENIZER, [Entry(text, fields or {})], threshold=threshold)[0]


def written(layout, *arguments, **keywords):
    return json.loads(layout.to_json(verdict(*arguments, **keywords)))


@given(st.lists(st.lists(st.text("abc", max_size=4), min_size=1, max_size=3), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_documents_are_encoded_as_each_alone_would_be(documents):
    texts = ["\n".join(lines) for lines in documents]

    found = as_documents(TOKENIZER, texts)

    assert [one.text for one in found] == texts
    for one, lines in zip(found, documents, strict=True):
        assert one.ids.tolist() == TOKENIZER.encode_batch(lines).tolist()
        assert one.ids.dtype == np.int32


@given(st.lists(st.lists(st.text("abc", max_size=4), max_size=5), max_size=6))
def test_pieces_number_the_lines_of_the_input(blocks):
    texts = ["".join(f"{line}\n" for line in block) for block in blocks]

    pieces = list(in_pieces(texts))

    lines = [line for block in blocks for line in block]
    numbered = [(piece.first + i, line) for piece in pieces if piece for i, line in enumerate(piece.lines)]
    assert numbered == list(enumerate(lines, 1))
    assert pieces.count(None) == texts.count(""), "where no more is there for now"


def test_a_classifier_is_never_given_more_than_so_many_documents():
    pieces = list(in_pieces(["a\n" * (2 * AT_ONCE + 1)]))

    assert [(len(piece.lines), piece.first) for piece in pieces] == [
        (AT_ONCE, 1),
        (AT_ONCE, AT_ONCE + 1),
        (1, 2 * AT_ONCE + 1),
    ]


def test_every_line_is_a_document_an_empty_one_too():
    assert Form("-").entries(Lines(["ab", ""], 1)) == [Entry("ab"), Entry("")]


def test_records_give_their_text_and_keep_their_other_fields():
    lines = Lines(['{"id": 7, "text": "a\\r\\nb\\n"}', "  ", '{"text": ""}'], 1)

    assert RECORDS.entries(lines) == [Entry("a\nb", {"id": 7}), Entry("", {})]


def test_the_text_may_come_of_several_fields_as_readers_take_it():
    form = Form("in.jsonl", ("question", "context"), str.upper)
    lines = Lines(['{"context": "c\\r\\nd\\n", "id": 1, "question": "q?\\n"}', ""], 1)

    assert form.entries(lines) == [Entry("Q?\nC\nD", {"id": 1})]
    assert form.count(lines) == 1
    with pytest.raises(DataError, match=r"in\.jsonl:1: no field 'context'"):
        form.entries(Lines(['{"question": "q"}'], 1))


def test_a_dot_leads_into_an_object_as_it_does_for_readers():
    form = Form("in.jsonl", ("translation.en",))
    line = '{"translation": {"en": "a dog"}}'

    assert form.entries(Lines([line], 1)) == [Entry("a dog", json.loads(line))]
    with pytest.raises(DataError, match=r"in\.jsonl:1: no field 'translation\.en'.*; it has translation\.de"):
        form.entries(Lines(['{"translation": {"de": "ein Hund"}}'], 1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text", "in.jsonl:6: not JSON"),
        ("[1]", "in.jsonl:6: must be an object, got [1]"),
        ('{"txt": "a"}', "in.jsonl:6: no field 'text' (did you mean 'txt'?); it has txt"),
        ('{"text": 3}', "in.jsonl:6: field 'text' must be a string, got 3"),
        ('{"text": "\\ud800"}', "in.jsonl:6: field 'text' holds \\ud800, half of a surrogate pair"),
    ],
)
def test_a_wrong_record_is_named_by_its_line(line, message):
    with pytest.raises(DataError) as error:
        RECORDS.entries(Lines(['{"text": "a"}', line], 5))

    assert error.value.message.startswith(message)


def test_the_answer_is_the_likeliest_class_and_its_probability():
    # votes of "aab" with one more for each: 3, 2, 1
    assert written(Layout()) == {"label": "a", "probability": 0.5}


def test_more_can_be_asked_for():
    answer = written(Layout(top_k=2, every=True, text=True))

    assert answer["top"] == [{"label": "a", "probability": 0.5}, {"label": "b", "probability": 0.333333}]
    assert answer["probabilities"] == {"a": 0.5, "b": 0.333333, "c": 0.166667}
    assert answer["text"] == "aab"


def test_of_equally_likely_classes_the_first_is_the_answer():
    assert written(Layout(top_k=9), "")["label"] == "a"
    assert [one["label"] for one in written(Layout(top_k=9), "")["top"]] == ["a", "b", "c"]


def test_labels_are_those_that_are_likely_enough_the_likeliest_first():
    layout = Layout(multi_label=True)

    # n / (n + 1): a 1/2, b 3/4, c 0
    assert written(layout, "abbb", multi_label=True)["labels"] == [
        {"label": "b", "probability": 0.75},
        {"label": "a", "probability": 0.5},
    ]
    assert [one["label"] for one in written(layout, "abbb", multi_label=True, threshold=0.6)["labels"]] == ["b"]
    assert written(layout, "", multi_label=True) == {"labels": []}


def test_a_record_keeps_its_fields_and_its_text_if_wanted():
    fields = {"id": 7, "label": "b"}

    assert list(written(Layout(field="body", prefix="x_"), fields=fields)) == [
        "id",
        "label",
        "x_label",
        "x_probability",
    ]
    answer = written(Layout(field="body", text=True, prefix="x_"), fields=fields)
    assert (answer["body"], answer["label"], answer["x_label"]) == ("aab", "b", "a")


def test_half_of_a_surrogate_pair_in_another_field_is_written_as_json_spells_it():
    line = Layout(field="text").to_json(verdict(fields={"id": "\ud83d", "name": "é"}))

    assert json.loads(line)["id"] == "\ud83d"
    assert line.isascii()


def test_what_is_no_probability_is_not_written():
    class Damaged(Counting):
        def log_probs(self, documents):
            return super().log_probs(documents) * np.nan

    with pytest.raises(DataError, match="log-probability nan: its parameters are damaged"):
        judge(Damaged(), TOKENIZER, [Entry("a")])


def test_nothing_of_a_record_is_written_over():
    with pytest.raises(DataError, match="a record has a field 'label'") as error:
        written(Layout(), fields={"label": "b"})

    assert "--prefix predicted_" in error.value.hint


def test_columns_are_labels_and_probabilities():
    assert Layout().plain(verdict()) == "a\t0.5\n"
    assert Layout(top_k=2).plain(verdict()) == "a\t0.5\tb\t0.333333\n"
    assert Layout(multi_label=True).plain(verdict("", multi_label=True)) == "\n"


def test_a_label_with_a_tab_does_not_break_its_column():
    model = Counting()
    model.labels = ("a\tb", "c", "d")
    (one,) = judge(model, TOKENIZER, [Entry("")])

    assert Layout().plain(one).split("\t")[0] == "a b"


def test_an_explanation_is_a_list_of_words_and_weights():
    answer = json.loads(Layout().to_json(verdict(), [("a", 0.123456), ("b", -1.0)]))

    assert answer["explanation"] == [["a", 0.1235], ["b", -1.0]]
