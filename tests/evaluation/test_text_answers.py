"""Hypotheses as text, and words of the document in the place of unknown ones."""

from __future__ import annotations

import numpy as np
import pytest
from fake_models import Letters

from lmtool.api import Document, Hypothesis
from lmtool.evaluation.answers import AnswerText, one_line
from lmtool_tokenizers.config import WordConfig
from lmtool_tokenizers.word import WordTokenizer


def words(*lines, **settings):
    return WordTokenizer.train(lines, WordConfig(**settings))


def document(tokenizer, text):
    return Document(tokenizer.encode_batch(text.split("\n")), text)


def hypothesis(ids, sources=None):
    return Hypothesis(np.array(ids, np.int32), -1.0, -1.0, None if sources is None else np.array(sources, np.int32))


def test_an_answer_is_one_line():
    assert one_line("a\nb\r\nc\rd") == "a b c d"

    spelled = AnswerText(Letters("abc"), Letters("a\rc"))

    assert spelled(hypothesis([2, 3, 4]), document(Letters("abc"), "a")) == "a c"


def test_an_unknown_word_becomes_the_word_that_is_attended_to():
    source, target = words("a man in Rome"), words("ein Mann in")
    text = "a man in Köln\nRome in Bonn"
    ids = [*target.encode("ein Mann in"), target.unk_id, target.unk_id, target.unk_id, target.unk_id]
    # by number of the document's ids: a man in Köln <eos> Rome in Bonn <eos>
    found = hypothesis(ids, [0, 1, 2, 3, 7, 5, 4])

    spelled = AnswerText(source, target, replace_unknown=True)

    assert spelled(found, document(source, text)) == "ein Mann in Köln Bonn Rome <unk>"
    assert AnswerText(source, target)(found, document(source, text)) == "ein Mann in <unk> <unk> <unk> <unk>"


def test_without_attention_an_unknown_word_stays_unknown():
    tokenizer = words("a man")

    spelled = AnswerText(tokenizer, tokenizer, replace_unknown=True)

    assert spelled(hypothesis([tokenizer.unk_id]), document(tokenizer, "Bonn")) == "<unk>"


@pytest.mark.parametrize(("punctuation", "text"), [("split", "in Bonn, a man."), ("keep", "in Bonn , a man .")])
def test_the_document_may_be_cut_at_punctuation(punctuation, text):
    tokenizer = words("in a man , .", punctuation=punctuation)

    spelled = AnswerText(tokenizer, tokenizer, replace_unknown=True)

    assert spelled(hypothesis([tokenizer.unk_id], [1]), document(tokenizer, text)) == "Bonn"


def test_unknown_letters_are_replaced_too():
    tokenizer = Letters("abc")

    spelled = AnswerText(tokenizer, tokenizer, replace_unknown=True)

    assert spelled(hypothesis([2, 1, 3, 1], [0, 1, 2, 3]), document(tokenizer, "axby")) == "axby"


def test_where_nobody_can_tell_the_word_it_stays_unknown():
    # dropped punctuation: no way of cutting the text gives as many words as there are ids
    tokenizer = words("in a man", punctuation="drop")

    spelled = AnswerText(tokenizer, tokenizer, replace_unknown=True)

    assert spelled(hypothesis([tokenizer.unk_id], [1]), document(tokenizer, "in B.o.n-n, a . . man.")) == "<unk>"
