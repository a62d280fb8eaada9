"""The n-gram model through the conformance kit."""

from __future__ import annotations

from lmtool.testing import conformance


@conformance("model", "ngram", config={"order": 4})
def test_ngram_has_every_property_of_a_language_model(check):
    check()


@conformance("model", "ngram", config={"order": 1, "unknown": "skip"})
def test_unigram_has_every_property_of_a_language_model(check):
    check()
