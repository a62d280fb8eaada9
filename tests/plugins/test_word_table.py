"""The fast ways to look words up and to count them give what `str.split` and a dict give."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.testing.tokenizers import PLAIN, TORTURE
from lmtool_tokenizers import vocabulary, word
from lmtool_tokenizers.config import WordConfig
from lmtool_tokenizers.vocabulary import choose
from lmtool_tokenizers.word import WordTokenizer
from lmtool_tokenizers.word_counts import count_words
from lmtool_tokenizers.word_table import WordTable

UNKNOWN = 9999
# out of few letters, so that many words have a common start; with NUL, and what begins like white space and is none
words = st.text(st.sampled_from("ab\0é中\x84\u2010\u3001"), max_size=20)
text = st.text(st.sampled_from("abé中𠀀 \t\x0b\x1c\x1b\x84\x85\xa0\u1680\u2003\u2010\u2029\u205f\u3000"), max_size=60)


def found(table, lines):
    return table.encode("".join(f"{line}\n" for line in lines), UNKNOWN).tolist()


@settings(max_examples=150, deadline=None)
@given(st.lists(text, max_size=6), st.sets(words))
def test_a_table_finds_what_a_dict_finds(lines, known):
    known = ["the end", *sorted(known)]
    ids = {one: i for i, one in enumerate(known)}

    expected = [i for line in lines for i in (*(ids.get(w, UNKNOWN) for w in line.split()), 0)]

    assert found(WordTable(known), lines) == expected


def test_every_character_that_splits_is_white_space_and_no_other():
    points = [*range(0x3100), 0xFEFF, 0xFFFD, 0x1F600]
    lines = [f"a{chr(point)}b" for point in points if point not in (ord("\n"), *range(0xD800, 0xE000))]

    ids = found(WordTable(["", "a", "b"]), lines)

    assert ids == [i for line in lines for i in ([1, 2, 0] if line.split() == ["a", "b"] else [UNKNOWN, 0])]


def test_a_full_table_has_room_for_all_its_words():
    known = ["\n", *(f"{i:x}" for i in range(70_000)), *("x" * n for n in range(1, 40))]

    assert found(WordTable(known), [" ".join([*known[1:], "-1"])]) == [*range(1, len(known)), UNKNOWN, 0]


def test_a_word_that_holds_a_line_end_is_found_nowhere():
    assert found(WordTable(["", "a\nb", "a", "b"]), ["a b a\nb"]) == [2, 3, 2, 0, 3, 0]


def test_a_text_must_end_with_a_line_end():
    with pytest.raises(ValueError, match="has no line end"):
        WordTable(["", "a"]).encode("a\na", UNKNOWN)


def counted(text):
    """What a Counter says, the most frequent first, ties by code points."""
    return sorted(Counter(text.split()).items(), key=lambda item: (-item[1], item[0]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from("abé \n\0\u3000\uffff𠀀"), max_size=60), max_size=8), st.text("ab", min_size=8))
def test_counts_are_those_of_a_counter(blocks, start):
    blocks = [block.replace("b", start) for block in blocks]  # long words, many with the same beginning

    for threads in (1, 3):
        words, counts = count_words(blocks, threads)

        assert list(zip(words, counts, strict=True)) == counted("\n".join(blocks))


def test_counts_of_many_different_words_add_up():
    rng = np.random.default_rng(0)
    blocks = ["\n".join(f"{i:x} {i} " + "x" * (i % 5000) for i in rng.zipf(1.3, 500).tolist()) for _ in range(20)]

    words, counts = count_words(blocks)

    assert len(words) > 2500  # more than the smallest table holds
    assert list(zip(words, counts, strict=True)) == counted("\n".join(blocks))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(words, st.integers(1, 4)), st.integers(3, 20), st.integers(1, 3))
def test_the_most_frequent_words_are_chosen_ties_by_code_points(counts, vocab_size, min_count):
    chosen = choose(counts, "ab", vocab_size, min_count)

    enough = [word for word, count in counts.items() if count >= min_count and word != "ab"]
    assert chosen == ("<eos>", "ab", *sorted(enough, key=lambda word: (-counts[word], word))[: vocab_size - 2])


@pytest.mark.parametrize("lowercase", [False, True])
def test_large_batches_have_the_ids_of_single_lines(monkeypatch, lowercase):
    monkeypatch.setattr(word, "_FEW", 0)
    tokenizer = WordTokenizer.train([*PLAIN, *TORTURE[:12]], WordConfig(lowercase=lowercase))
    lines = [*PLAIN[:50], *TORTURE, "Never Seen BEFORE", "ΑΣ", "ΑΣ\nΑΣ Β", ""]

    expected = [i for line in lines for i in (*tokenizer.encode(line), tokenizer.eos_id)]

    assert tokenizer.encode_batch(lines).tolist() == expected


# the list of words as JSON --------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=6), st.booleans())
def test_a_vocabulary_is_written_as_json_writes_it(tmp_path_factory, tokens, lowercase):
    folder = tmp_path_factory.mktemp("vocabulary")
    settings = {"lowercase": True} if lowercase else {}

    vocabulary.save(folder, tokens, **settings)

    expected = json.dumps({**settings, "tokens": tokens}, ensure_ascii=False, indent=0)
    assert (folder / vocabulary.FILE).read_text(encoding="utf-8") == expected + "\n"
    assert vocabulary.fingerprint_of_tokens("a", tokens) == vocabulary.fingerprint("a", tokens)
    assert vocabulary.fingerprint_of_tokens("a", tokens, lowercase) == vocabulary.fingerprint("a", [lowercase, tokens])
