"""Why a classifier says what it says: what changes if a word is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_models import Counting, Letters
from hypothesis import given
from hypothesis import strategies as st

from lmtool.cli.highlight import marked
from lmtool.explanation import MOST, Attributing, by_gradient, by_occlusion, words_of
from lmtool.incoming import as_documents

TOKENIZER = Letters("abc ")


def explained(text, number=0, model=None):
    return next(by_occlusion(model or Counting(), TOKENIZER, as_documents(TOKENIZER, [text]), [number]))


class Texts(Counting):
    """Remembers the texts that it was asked about."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def log_probs(self, documents):
        self.texts += [document.text for document in documents]
        return super().log_probs(documents)


class Gradients(Counting):
    """Says of each id that is read, the first three, that it weighs what it is."""

    def attribute(self, documents):
        return [document.ids[:3].astype(np.float32) for document in documents]


def test_a_word_weighs_what_the_log_probability_falls_without_it():
    # votes of "aa b" and one more: 3, 2, 1; without "aa" 1, 2, 1; without "b" 3, 1, 1
    weights = dict(explained("aa b"))

    assert weights["aa"] == pytest.approx(math.log(3 / 6) - math.log(1 / 4))
    assert weights["b"] == pytest.approx(math.log(3 / 6) - math.log(3 / 5))


def test_what_remains_has_no_space_too_many():
    model = Texts()

    explained("a b\nc  a", model=model)

    assert model.texts == ["a b\nc  a", "b\nc  a", "a\nc  a", "a b\n a", "a b\nc "]


def test_words_stand_between_spaces_and_chinese_characters_alone():
    assert [word.text for word in words_of("an iPhone 好用。\nok")] == ["an", "iPhone", "好", "用", "。", "ok"]


@given(st.text("ab \n好", max_size=30))
def test_words_are_parts_of_the_text_in_order(text):
    words = words_of(text)

    assert [text[word.start : word.stop] for word in words] == [word.text for word in words]
    assert "".join(word.text for word in words) == "".join(text.split())


def test_a_text_without_words_has_nothing_to_explain():
    assert explained("") == []
    assert explained(" \n ") == []


def test_a_long_document_has_a_bounded_number_of_variants():
    model = Counting()

    found = explained("a " * 5 * MOST, model=model)

    assert max(model.asked) <= MOST + 1
    assert len(found) == 5 * MOST
    # five at a time share what they change, and all are alike
    assert np.ptp([weight for _, weight in found]) < 1e-12


def test_what_becomes_impossible_weighs_a_finite_amount():
    ((_, weight),) = explained("a", model=Counting(multi_label=True))

    assert 1e6 < weight < math.inf


def test_gradients_are_told_for_documents_that_are_read_as_a_whole():
    documents = as_documents(TOKENIZER, ["ab", "abc"])

    short, long = by_gradient(Gradients(), TOKENIZER, documents)

    # the ids of a, b and the end
    assert short == [("a", 2.0), ("b", 3.0), ("<eos>", 0.0)]
    assert long is None


def test_only_what_has_gradients_is_asked_for_them():
    assert isinstance(Gradients(), Attributing)
    assert not isinstance(Counting(), Attributing)


def test_words_that_matter_are_marked_and_the_most_important_without_colours_too():
    text = marked([("the", 0.01), ("good", 1.0), ("old", -0.2), ("bad", -0.9)])

    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans if span.style}
    assert text.plain == "the good old bad"
    assert set(styles) == {"good", "old", "bad"}
    assert [name for name, style in styles.items() if "underline" in style] == ["good", "bad"]
    assert styles["good"].split(" on ")[1] != styles["bad"].split(" on ")[1]


def test_nothing_is_marked_where_nothing_matters():
    assert not any(span.style for span in marked([("a", 0.0), ("b", 0.0)]).spans)
