"""The fast ways to look words up and to count them give what `str.split` and a dict give."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.testing.tokenizers import PLAIN, TORTURE
from lmtool_tokenizers import word
from lmtool_tokenizers.config import WordConfig
from lmtool_tokenizers.word import WordTokenizer
from lmtool_tokenizers.word_counts import count_words
from lmtool_tokenizers.word_table import UNKNOWN, Words, WordTable

# words of 0 to 20 bytes around the table's limits of 8 and 16, out of few letters, so that many have a common start
words = st.text(st.sampled_from("abé中"), max_size=20)
text = st.text(st.sampled_from("abé中𠀀 \t\x0b\x1c\x85\xa0\u2003\u3000"), max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.lists(text, max_size=6), st.sets(words))
def test_a_table_finds_what_a_dict_finds(lines, known):
    known = ["\n", *sorted(known - {""})]
    ids = {one: i for i, one in enumerate(known)}

    found = WordTable(known).lookup(Words(lines))

    assert found.tolist() == [i for line in lines for i in (*(ids.get(w, UNKNOWN) for w in line.split()), 0)]


def test_a_full_table_has_room_for_all_its_words():
    known = [f"{i:x}" for i in range(70_000)] + ["x" * n for n in range(1, 40)]

    found = WordTable(known).lookup(Words([" ".join(known), "-1"]))

    assert len(set(known)) == len(known)
    line_end = UNKNOWN  # this table does not know it
    assert found.tolist() == [*range(len(known)), line_end, UNKNOWN, line_end]


def test_words_are_those_of_split():
    lines = [line for line in (*PLAIN, *TORTURE) if "\0" not in line]

    found = Words(lines)

    assert [found[i].decode() for i in range(len(found))] == [w for line in lines for w in (*line.split(), "\n")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(st.sampled_from("abé \0\u3000"), max_size=20), max_size=3), max_size=8))
def test_counts_are_those_of_a_counter(batches):
    expected = Counter(w for lines in batches for line in lines for w in line.split())

    assert count_words(batches) == expected


def test_counts_of_many_different_words_add_up():
    rng = np.random.default_rng(0)
    batches = [[f"{i:x} {i}" for i in rng.zipf(1.3, 500).tolist()] for _ in range(20)]

    assert count_words(batches) == Counter(w for lines in batches for line in lines for w in line.split())


@pytest.mark.parametrize("lowercase", [False, True])
def test_large_batches_have_the_ids_of_single_lines(monkeypatch, lowercase):
    monkeypatch.setattr(word, "_FEW", 0)
    tokenizer = WordTokenizer.train([*PLAIN, *TORTURE[:12]], WordConfig(lowercase=lowercase))
    lines = [*PLAIN[:50], *TORTURE, "Never Seen BEFORE", "ΑΣ", ""]

    for batch in (lines, [line for line in lines if "\0" not in line]):
        expected = [i for line in batch for i in (*tokenizer.encode(line), tokenizer.eos_id)]
        assert tokenizer.encode_batch(batch).tolist() == expected
