"""ARPA files: what is written is what other tools read."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lmtool_ngram.arpa import words as arpa_words
from lmtool_ngram.arpa import writing as arpa
from lmtool_ngram.tables.trie import Level

EOS, UNK = 0, 1


class Tokens:
    """What `arpa` asks of a tokenizer."""

    def __init__(self, *tokens: str, eos_id: int = EOS, unk_id: int | None = UNK) -> None:
        self.list, self.vocab_size, self.eos_id, self.unk_id = tokens, len(tokens), eos_id, unk_id

    def tokens(self, ids):
        return [self.list[i] for i in ids]


WORDS = Tokens("<eos>", "<unk>", "a", "b")


def level(words, starts, probs, backoffs):
    logs = [np.log(np.array(values, np.float64)).astype(np.float32) for values in (probs, backoffs)]
    return Level(np.array(words, np.uint16), np.array(starts, np.uint32), *logs)


@pytest.fixture
def bigrams():
    """Of the words a and b; `<s> a`, `a b`, `b </s>` have been seen. Numbers are powers of ten, to be read easily."""
    return [
        level(range(4), [0, 4], [0.1, 0.01, 0.001, 0.0001], [0.1, 1, 0.01, 0.001]),
        level([2, 3, EOS], [0, 1, 1, 2, 3], [1, 0.1, 0.01], []),
    ]


def written(levels, tokenizer=WORDS):
    file = io.BytesIO()
    arpa.write(file, levels, tokenizer)
    return file.getvalue().decode()


def sections(text):
    """Order to lines of `(log10 of the probability, words, log10 of the back-off or None)`."""
    found = {}
    for line in text.splitlines():
        if line.endswith("-grams:"):
            found[int(line[1:-7])] = lines = []
        elif "\t" in line:
            prob, words, *backoff = line.split("\t")
            lines.append((float(prob), words, float(*backoff) if backoff else None))
    return found


def test_the_layout_is_that_of_lmplz(bigrams):
    # The start of a line, which is not predicted, has log10 of zero; it has the back-off that eos has as a context.
    assert [line for line in written(bigrams).splitlines() if "\t" not in line] == [
        "\\data\\", "ngram 1=5", "ngram 2=3", "", "\\1-grams:", "", "\\2-grams:", "", "\\end\\"
    ]  # fmt: skip
    assert sections(written(bigrams)) == {
        1: [
            (pytest.approx(-2), "<unk>", 0),
            (-99, "<s>", pytest.approx(-1)),
            (pytest.approx(-1), "</s>", 0),
            (pytest.approx(-3), "a", pytest.approx(-2)),
            (pytest.approx(-4), "b", pytest.approx(-3)),
        ],
        2: [(0, "<s> a", None), (pytest.approx(-1), "a b", None), (pytest.approx(-2), "b </s>", None)],
    }


def test_a_model_of_single_words_has_no_backoffs(bigrams):
    assert [backoff for _, _, backoff in sections(written([level(range(4), [0, 4], [0.25] * 4, [])]))[1]] == [None] * 5


def test_blocks_change_nothing(bigrams, monkeypatch):
    whole = written(bigrams)

    for size in (1, 2):
        monkeypatch.setattr(arpa, "BLOCK", size)

        assert written(bigrams) == whole


def test_a_tokenizer_without_unknowns_gets_an_impossible_one(bigrams):
    text = written(bigrams, Tokens("<eos>", "x", "a", "b", unk_id=None))

    assert sections(text)[1][0] == (-99, "<unk>", 0)
    assert (pytest.approx(-2), "x", 0) in sections(text)[1]
    assert "ngram 1=6" in text


@given(st.lists(st.floats(-200, 10, width=32), min_size=2, max_size=20))
@examples(max_examples=200, deadline=None)
def test_a_number_that_is_read_again_gives_the_same_float32(nats):
    nats = np.array(nats, np.float32)
    unigrams = Level(np.arange(len(nats)), np.zeros(2, np.uint32), nats, nats)

    read = sections(written([unigrams], Tokens(*map(str, range(len(nats))))))[1]

    again = {words: np.float32(backoff * math.log(10)) for _, words, backoff in read}
    expected = {str(i): value for i, value in enumerate(nats) if i > UNK}
    assert {word: again[word] for word in expected} == expected


@pytest.mark.parametrize(("token", "name"), [
    ("a", "a"), ("a b", "<text:a%20b>"), (" ", "<text:%20>"), ("", "<text:>"), ("\t", "<text:%09>"),
    ("<s>", "<text:%3Cs%3E>"), ("</S>", "<text:%3C%2FS%3E>"), ("<UNK>", "<text:%3CUNK%3E>"),
    ("<text:a>", "<text:%3Ctext%3Aa%3E>"), ("<id:3>", "<text:%3Cid%3A3%3E>"), ("\u3000", "\u3000"),
])  # fmt: skip
def test_what_cannot_stand_between_spaces_is_quoted(token, name):
    assert arpa_words.quoted(token) == name
    assert arpa_words.unquoted(name) == token


@given(st.lists(st.text(st.sampled_from(" <>sunk/:tex%idé"), max_size=8), min_size=2, max_size=12))
@examples(max_examples=100, deadline=None)
def test_names_of_tokens_are_words_and_all_different(tokens):
    names = arpa_words.names(Tokens(*tokens))

    assert len(set(names)) == len(names)
    assert all(name.split() == [name] for name in names)
    assert (names[EOS], names[UNK]) == ("</s>", "<unk>")


def test_tokens_that_are_printed_alike_are_told_apart():
    assert arpa_words.names(Tokens("<eos>", "<unk>", "▁", "▁")) == ["</s>", "<unk>", "▁", "<id:3>"]
