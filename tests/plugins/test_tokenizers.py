"""The built-in tokenizers: the properties of all, then what is special to each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.errors import DataError
from lmtool.testing import conformance
from lmtool_tokenizers.byte import ByteTokenizer
from lmtool_tokenizers.char import CharTokenizer
from lmtool_tokenizers.config import CharConfig, WordConfig
from lmtool_tokenizers.word import WordTokenizer

lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=8)


@conformance("tokenizer", "byte")
def test_byte(check):
    check()


@conformance("tokenizer", "char")
def test_char(check):
    check()


@conformance("tokenizer", "char", config={"vocab_size": 12})
def test_char_with_few_characters(check):
    check()


@conformance("tokenizer", "word")
def test_word(check):
    check()


@conformance("tokenizer", "word", config={"vocab_size": 20, "min_count": 2, "lowercase": True})
def test_word_with_few_words_in_lower_case(check):
    check()


@conformance("tokenizer", "word", config={"punctuation": "split"})
def test_word_without_its_punctuation(check):
    check()


@conformance("tokenizer", "word", config={"punctuation": "drop", "lowercase": True})
def test_word_without_any_punctuation(check):
    check()


@conformance("tokenizer", "bpe", config={"vocab_size": 300})
def test_bpe(check):
    check()


@settings(max_examples=60, deadline=None)
@given(lines)
def test_bytes_are_those_of_utf8(lines):
    text = "".join(f"{line}\n" for line in lines)

    ids = ByteTokenizer().encode_batch(lines)

    assert bytes(ids.tolist()) == text.encode()
    assert ByteTokenizer().decode(ids.tolist()) == text


@settings(max_examples=60, deadline=None)
@given(lines)
def test_characters_of_the_training_text_come_back(lines):
    tokenizer = CharTokenizer.train(lines, CharConfig())

    ids = tokenizer.encode_batch(lines).tolist()

    assert tokenizer.decode(ids) == "".join(f"{line}\n" for line in lines)
    unknown = sum(line.count("\ufffd") for line in lines)  # U+FFFD stands for an unknown character
    assert ids.count(tokenizer.unk_id) == unknown


@settings(max_examples=60, deadline=None)
@given(lines, st.booleans())
def test_words_of_the_training_text_come_back_with_single_spaces(lines, lowercase):
    tokenizer = WordTokenizer.train(lines, WordConfig(lowercase=lowercase))

    text = tokenizer.decode(tokenizer.encode_batch(lines).tolist())

    words = [(line.lower() if lowercase else line).split() for line in lines]
    assert text == "".join(f"{' '.join(line)}\n" for line in words)


def test_word_vocabulary_is_by_count_then_by_code_points():
    tokenizer = WordTokenizer.train(["b b a", "c a b"], WordConfig())

    # b 3 times, a twice, c once
    assert tokenizer.words == ("<eos>", "<unk>", "b", "a", "c")
    assert tokenizer.encode("a z <unk>") == [3, 1, 1]


@pytest.mark.parametrize(
    ("punctuation", "words"),
    [
        ("keep", ["(it's)", "'so',", "don't!", "3.5", "a_b"]),
        ("split", ["(", "it's", ")", "'", "so", "'", ",", "don't", "!", "3", ".", "5", "a_b"]),
        ("drop", ["it's", "so", "don't", "3", "5", "a_b"]),
    ],
)
def test_punctuation_stays_with_its_word_or_not(punctuation, words, tmp_path):
    line = "(it's) 'so', don't! 3.5 a_b"
    tokenizer = WordTokenizer.train([line], WordConfig(punctuation=punctuation))
    tokenizer.save(tmp_path)

    assert tokenizer.tokens(tokenizer.encode(line)) == words
    assert WordTokenizer.load(tmp_path) == tokenizer
    assert (tokenizer.unit == "word") == (punctuation == "keep")  # a word of the text may be several tokens, or none


def test_rare_words_are_unknown():
    lines = ["a a a b b c"]

    assert WordTokenizer.train(lines, WordConfig(min_count=2)).words[2:] == ("a", "b")
    assert WordTokenizer.train(lines, WordConfig(vocab_size=3)).words[2:] == ("a",)
    assert WordTokenizer.train(lines, WordConfig(vocab_size=2)).encode("a b") == [1, 1]


def test_the_texts_own_unk_is_the_unknown_word_and_its_own_eos_is_a_word():
    tokenizer = WordTokenizer.train(["<unk> <eos> x"], WordConfig())

    assert tokenizer.vocab_size == 4  # end of line, <unk>, <eos>, x
    unk, eos, x = tokenizer.encode("<unk> <eos> x")
    assert unk == tokenizer.unk_id == tokenizer.encode("never-seen")[0]
    assert eos not in (tokenizer.eos_id, tokenizer.unk_id, x)


def test_word_without_any_unk_in_the_text_still_has_one():
    tokenizer = WordTokenizer.train(["x"], WordConfig())

    assert tokenizer.encode("y") == [tokenizer.unk_id]


@pytest.mark.parametrize(
    "tokenizer", [ByteTokenizer(), CharTokenizer.train(["ab"], CharConfig())], ids=["byte", "char"]
)
def test_a_line_end_inside_a_line_is_refused(tokenizer):
    with pytest.raises(ValueError, match="line end"):
        tokenizer.encode("a\nb")
    with pytest.raises(ValueError, match="line end"):
        tokenizer.encode_batch(["a\nb"])


def test_ids_of_many_types_decode():
    for ids in ([97, 98], np.array([97, 98], np.int32), np.array([97, 98], np.uint8)):
        assert ByteTokenizer().decode(ids) == "ab"


@pytest.mark.parametrize("content", ['{"tokens": ["<eos>", "<unk>", "a", "a"]}', '{"tokens": 3}', "[]", "{}", "\xff"])
def test_a_damaged_vocabulary_is_named(tmp_path, content):
    (tmp_path / "vocabulary.json").write_bytes(content.encode("latin-1"))

    with pytest.raises(DataError, match=r"vocabulary\.json is damaged"):
        WordTokenizer.load(tmp_path)
