"""Baselines of texts: what they answer, and that a run of one is evaluated as any other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmtool.api import Document
from lmtool.config import DataConfig, choose
from lmtool.data.prepare import build, make_plan
from lmtool.errors import DataError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.settings import DecodingConfig
from lmtool_baselines.config import CopySourceConfig, LeadConfig, SlidingWindowConfig
from lmtool_baselines.lead import CopySource, Lead
from lmtool_baselines.window import SlidingWindow
from lmtool_baselines.words import sentences

CONTEXT = (
    "The old mill stood by the river. It was built by Anna Berg in the year 1820, long before the town. "
    "The town has a market, and the market has a clock."
)


def lead(text, **settings):
    (answer,) = Lead(LeadConfig(**settings)).answers(text, {})
    return answer.text


def answers(question, context=CONTEXT, *, common=("the", "was", "in", "by", "it", "a", "of"), **settings):
    window = SlidingWindow(SlidingWindowConfig(**settings))
    return [answer.text for answer in window.answers(f"{question}\n{context}", {"common": list(common)})]


# Sentences ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.5 at U.S. ports. Dr. Who pays.", ["It costs 3.5 at U.S. ports.", "Dr. Who pays."]),
        ('He said "no." Then he left', ['He said "no."', "Then he left"]),
        ("今天很好。明天呢？“好！”他说", ["今天很好。", "明天呢？", "“好！”", "他说"]),
        ("A title\n\nA line\nand another.", ["A title", "A line\nand another."]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, parts):
    assert [text[start:stop] for start, stop in sentences(text)] == parts


def test_the_lead_is_the_first_sentences_or_words():
    assert lead(CONTEXT) == "The old mill stood by the river."
    assert lead(CONTEXT, sentences=2).endswith("long before the town.")
    assert lead(CONTEXT, sentences=9) == CONTEXT
    assert lead(CONTEXT, max_words=3) == "The old mill"
    assert lead("今天很好。明天呢？", max_words=2) == "今天"
    assert lead("") == ""


def test_copying_gives_all_of_it():
    assert [answer.text for answer in CopySource(CopySourceConfig()).answers(CONTEXT, {})] == [CONTEXT]


# Sliding window -------------------------------------------------------------------------------------------------------


def test_an_answer_stands_in_the_sentence_that_shares_most_with_the_question():
    found = answers("When was the mill built by Anna Berg?")

    sentence = sentences(CONTEXT)[1]
    assert all(CONTEXT.index(one) in range(*sentence) for one in found)
    assert "1820" in found[0]


def test_candidates_hold_no_word_of_the_question_and_no_sign_and_no_function_word_at_an_end():
    found = answers("Who built it?", "It was built by Anna Berg, of the town.", max_words=2)

    # "by", "of" and "the" are function words, the comma is a sign, and the question has "it" and "built"
    assert sorted(found) == ["Anna", "Anna Berg", "Berg", "town"]


def test_of_equal_windows_the_span_nearer_to_the_question_wins():
    # a span and the question are three words, so that the window is the whole sentence, of which two words count
    assert answers("x w", "far near x", common=(), max_words=1) == ["near", "far"]
    assert answers("x w", "far near x", common=(), max_words=1, distance=False) == ["far", "near"]


def test_a_sentence_without_candidates_is_passed_over_though_it_shares_most():
    assert sorted(answers("the mill", "The mill. Anna ran.")) == ["Anna", "Anna ran", "ran"]


def test_without_candidates_the_answer_is_empty():
    assert answers("What?", "") == [""]
    assert answers("the mill", "the mill") == [""]


def test_function_words_are_those_of_many_contexts():
    window = SlidingWindow(SlidingWindowConfig(common=0.5))

    texts = ["who?\nthe mill, the river", "who?\nthe town", "who?\na town", "where?\na town"]
    known = window.estimated(iter(texts))

    # "who" stands in questions alone; of three contexts "the" is in two, "town" in two, "a" in one that comes twice
    assert known == {"common": ["the", "town"]}


# As models ------------------------------------------------------------------------------------------------------------


def dataset_in(folder, *, target_tokenizer=None, targets=True):
    contexts = [CONTEXT, *(f"Context {number}." for number in range(20))]
    rows = [{"question": "Who built it?", "context": one, "answers": ["Anna Berg", "Anna"]} for one in contexts]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    registry = Registry()
    data = DataConfig(
        train=[str(file)],
        test=[str(file)],
        reader={"name": "jsonl", "text_field": ["question", "context"]},
        target="answers" if targets else None,
        target_tokenizer=target_tokenizer,
    )
    tokenizer = choose(Raw({"tokenizer": {"name": "word", "lowercase": True}}), "tokenizer", registry)
    return build(make_plan(data, tokenizer, registry), folder / "data")


def fitted(model, dataset, folder):
    (folder / "scratch").mkdir()
    return model.fit(dataset, progress=lambda phase, fraction: None, scratch=folder / "scratch")


def said(found):
    return [[(one.ids.tolist(), one.text, one.score) for one in some] for some in found]


@pytest.mark.parametrize("target_tokenizer", [None, {"name": "char"}])
def test_answers_are_as_the_document_spells_them_with_ids_of_targets(tmp_path, target_tokenizer):
    dataset = dataset_in(tmp_path, target_tokenizer=target_tokenizer)
    model = fitted(Lead(LeadConfig()), dataset, tmp_path)
    documents = [Document(np.zeros(1, np.int32), "The town. Its clock"), Document(np.zeros(1, np.int32), "A\nmill.")]

    found = model.generate(documents, DecodingConfig())

    assert [one.text for (one,) in found] == ["The town.", "A mill."]
    assert found[1][0].ids.tolist() == dataset.target_tokenizer.encode("A mill.")
    assert (model.vocab_size, model.target_vocab_size) == (dataset.vocab_size, dataset.target_vocab_size)


def test_the_first_answers_are_given_and_cut_off_where_that_is_asked_for(tmp_path):
    dataset = dataset_in(tmp_path)
    model = fitted(SlidingWindow(SlidingWindowConfig()), dataset, tmp_path)
    documents, prefix = list(dataset.split("test").documents())[:1], np.array(dataset.tokenizer.encode("it was"))

    (several,) = model.generate(documents, DecodingConfig(n_best=3))
    ((cut,),) = model.generate(documents, DecodingConfig(max_length=1))
    ((begun,),) = model.generate(documents, DecodingConfig(), prefixes=[prefix])

    assert len({one.text for one in several}) == 3
    assert [one.score for one in several] == sorted((one.score for one in several), reverse=True)
    assert cut.ids.tolist() == several[0].ids.tolist()[:1]
    assert begun.ids.tolist() == [*prefix.tolist(), *several[0].ids.tolist()]
    assert begun.text == f"it was {several[0].text}"


@pytest.mark.parametrize("make", [lambda: Lead(LeadConfig()), lambda: SlidingWindow(SlidingWindowConfig())])
def test_a_saved_model_answers_the_same(tmp_path, make):
    dataset = dataset_in(tmp_path)
    model, documents = fitted(make(), dataset, tmp_path), list(dataset.split("test").documents())
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")

    loaded = make().load(tmp_path / "model")

    assert said(loaded.generate(documents, DecodingConfig())) == said(model.generate(documents, DecodingConfig()))
    assert (loaded.vocab_size, loaded.target_vocab_size) == (model.vocab_size, model.target_vocab_size)


@pytest.mark.parametrize("contents", ["", "{}", '{"format": 2}', '{"format": 1, "vocab_size": "x", "known": {}}'])
def test_a_damaged_model_is_an_error(tmp_path, contents):
    (tmp_path / "baseline.json").write_text(contents)

    with pytest.raises(DataError, match=r"baseline\.json"):
        Lead(LeadConfig()).load(tmp_path)


def test_without_targets_there_is_nothing_to_answer(tmp_path):
    with pytest.raises(DataError, match="has no targets"):
        fitted(Lead(LeadConfig()), dataset_in(tmp_path, targets=False), tmp_path)
