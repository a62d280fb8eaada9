"""Baselines are what every fitted text-to-text model must be, and a model that is not is found out."""

from __future__ import annotations

import pytest

from lmtool.registry import Registry
from lmtool.testing import checks, conformance
from lmtool_baselines.answering import Answer, TextAnswerer
from lmtool_baselines.lead import Lead

pytestmark = pytest.mark.filterwarnings("error")


@conformance("model", "lead")
def test_lead(check):
    check()


@conformance("model", "lead", config={"sentences": 2, "max_words": 3})
def test_lead_of_some_words(check):
    check()


@conformance("model", "sliding-window")
def test_sliding_window(check):
    check()


@conformance("model", "copy-source")
def test_copy_source(check):
    check()


def failing(monkeypatch, check):
    monkeypatch.setattr("lmtool.testing.answerers._FITTED", {})
    with pytest.raises(AssertionError) as error:
        checks("model", "lead", registry=Registry(third_party=False))[check]()
    return str(error.value)


def test_answers_that_depend_on_those_beside_them_are_found_out(monkeypatch):
    generate = TextAnswerer.generate

    def of_the_first(self, documents, *arguments, **options):
        return generate(self, documents[:1], *arguments, **options) * len(documents)

    monkeypatch.setattr(TextAnswerer, "generate", of_the_first)

    assert "a document alone is answered otherwise" in failing(monkeypatch, "batch_does_not_matter")


def test_a_worse_answer_before_a_better_one_is_found_out(monkeypatch):
    monkeypatch.setattr(Lead, "answers", lambda self, text, known: [Answer("a", 1.0), Answer("b", 2.0)])

    assert "the best is not the first" in failing(monkeypatch, "gives_the_best_answers_first")


def test_no_answer_is_found_out(monkeypatch):
    monkeypatch.setattr(Lead, "answers", lambda self, text, known: [Answer("a")] if text else [])

    assert "the document '' has no answer" in failing(monkeypatch, "any_document_is_answered")


def test_what_is_not_read_back_is_found_out(monkeypatch):
    load = Lead.load

    def forgetful(self, folder):
        loaded = load(self, folder)
        monkeypatch.setattr(loaded, "vocab_size", 1)
        return loaded

    monkeypatch.setattr(Lead, "load", forgetful)

    assert "what was loaded has (1, " in failing(monkeypatch, "save_then_load")
