"""Counting: every n-gram once, in order, with its suffix, whatever memory there is."""

from __future__ import annotations

import contextlib
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_reference import BOS, Reference

from lmtool.errors import DataError
from lmtool_ngram import spool
from lmtool_ngram.config import NgramConfig
from lmtool_ngram.estimation import counting, smoother, windows
from lmtool_ngram.estimation import text as training_text
from lmtool_ngram.estimation.counting import count_ngrams
from lmtool_ngram.estimation.discounts import counts_of_counts, modified_kneser_ney
from lmtool_ngram.estimation.engine import estimate
from lmtool_ngram.estimation.lmplz import lmplz_corrections
from lmtool_ngram.estimation.suffixes import link
from lmtool_ngram.estimation.text import TrainingText
from lmtool_ngram.estimation.threads import Workers
from lmtool_ngram.model import fit_ids
from lmtool_ngram.spool import Scratch, Spool

A, B, C, EOS = 0, 1, 2, 3
NAMES = "abc"

corpora = st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=12)
"""Lines of words 0 to 4."""
sizes = st.sampled_from([1, 2, 7, 1 << 17])
"""Of blocks: what goes wrong where one ends is not seen in large ones."""


def stream(lines, eos_id):
    return np.array([word for line in lines for word in (*line, eos_id)], dtype=np.int32)


def lines_of(text):
    return [[NAMES.index(word) for word in line] for line in text.split()]


def text_of(ids, eos_id, vocab_size, **unknown):
    return TrainingText(lambda start, stop: ids[start:stop], len(ids), eos_id=eos_id, vocab_size=vocab_size, **unknown)


@contextlib.contextmanager
def blocks(size, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "PIECE", size)
        patch.setattr(training_text, "BLOCK", size)
        patch.setattr(windows, "CHUNK", chunk)
        patch.setattr(counting, "AT_ONCE", size)
        yield


@contextlib.contextmanager
def counted(text, order, memory):
    """Each order's n-grams as tuples, `BOS` at the start of a line, with counts, suffixes and continuation counts."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Scratch(Path(folder) / "counting") as scratch,
        Workers(2) as workers,
    ):
        levels = count_ngrams(text, order, scratch, memory=memory, workers=workers)
        linked = link(levels, scratch, continuations=True, memory=memory, workers=workers)
        names = [[(word,) for word in range(text.vocab_size)]]
        for below, level in pairwise(levels):
            parents = np.repeat(np.arange(len(below)), below.children.read(0, len(below)))
            last = level.words.read(0, len(level)).tolist()
            names.append([(*names[-1][parent], word) for parent, word in zip(parents, last, strict=True)])
        yield linked, names


def values(spool):
    return spool.read(0, len(spool)).tolist()


@given(
    lines=corpora,
    order=st.integers(1, 6),
    memory=st.sampled_from([1, 10**3, 10**9]),
    size=sizes,
    chunk=st.integers(1, 9),
)
@settings(max_examples=100, deadline=None)
def test_every_ngram_is_counted_with_its_suffix(lines, order, memory, size, chunk):
    expected = Reference(lines, order, 6, 5).counts

    with blocks(size, chunk), counted(text_of(stream(lines, 5), 5, 6), order, memory) as (linked, names):
        for n, (one, found) in enumerate(zip(linked, names, strict=True), start=1):
            shown = [(BOS if n > 1 and g[0] == 5 else g[0], *g[1:]) for g in found]
            assert {g: c for g, c in zip(shown, values(one.counts.counts), strict=True) if c} == expected[n]
            assert found == sorted(found)
            if n > 1:
                assert shown[one.counts.line_starts] == [g for g in shown if g[0] == BOS]
                assert [names[n - 2][i] for i in values(one.suffixes)] == [g[1:] for g in found]


@given(lines=corpora, order=st.integers(2, 5), memory=st.sampled_from([1, 10**9]), size=sizes)
@settings(max_examples=60, deadline=None)
def test_continuation_counts_are_the_different_words_before(lines, order, memory, size):
    with blocks(size, 4), counted(text_of(stream(lines, 5), 5, 6), order, memory) as (linked, names):
        for one, found, longer in zip(linked, names, names[1:], strict=False):
            for g, adjusted, count in zip(found, values(one.adjusted), values(one.counts.counts), strict=True):
                starts_line = len(g) > 1 and g[0] == 5
                assert adjusted == (count if starts_line else sum(h[1:] == g for h in longer))


def test_unknown_words_as_mass_break_the_text():
    # "a?b" with ? unknown: a and b are counted, no bigram but those with the line's ends is.
    ids = np.array([A, C, B, EOS], dtype=np.int32)

    with counted(text_of(ids, EOS, 4, unk_id=C, unknown="mass"), 3, 10**6) as (linked, names):
        assert values(linked[0].counts.counts) == [1, 1, 0, 1]
        assert names[1:] == [[(B, EOS), (EOS, A)], []]
        # Nothing that counts stands before b and its bigram; both count once all the same.
        assert values(linked[0].adjusted) == [1, 1, 0, 1]
        assert values(linked[1].adjusted) == [1, 1]


def test_unknown_words_skipped_leave_their_neighbours_side_by_side():
    ids = np.array([A, C, B, EOS], dtype=np.int32)

    with counted(text_of(ids, EOS, 4, unk_id=C, unknown="skip"), 2, 10**6) as (_, names):
        assert names[1] == [(A, B), (B, EOS), (EOS, A)]


@given(lines=corpora, order=st.integers(1, 5), prune=st.sampled_from([[], [0, 0, 1], [0, 1, 2]]), size=sizes)
@settings(max_examples=30, deadline=None)
def test_memory_changes_nothing_in_the_model(lines, order, prune, size):
    def files(memory, size):
        with blocks(size, 1 << 16), tempfile.TemporaryDirectory() as folder:
            config = NgramConfig(order=order, prune=prune, memory=memory)
            estimate(text_of(stream(lines, 5), 5, 6), config, Path(folder))
            return {file.name: file.read_bytes() for file in Path(folder).iterdir()}

    assert files("1 B", size) == files("1 GB", 1 << 17)


def test_nothing_but_the_model_is_left(tmp_path):
    estimate(text_of(stream(lines_of("ab abc"), EOS), EOS, 4), NgramConfig(order=2), tmp_path)

    arrays = {f"{name}-{n}.npy" for name in ("words", "starts", "log_probs", "log_backoffs") for n in (1, 2)}
    assert {file.name for file in tmp_path.iterdir()} == {"ngram.json", *arrays}


def test_no_file_stays_open(tmp_path):
    text = text_of(stream(lines_of("ab abc"), EOS), EOS, 4)
    estimate(text, NgramConfig(order=2), tmp_path)  # libraries and kernels are loaded now
    before = len(os.listdir("/dev/fd"))

    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        estimate(text, NgramConfig(order=5), folder)

    assert len(os.listdir("/dev/fd")) == before


def test_an_error_in_a_thread_is_raised_and_leaves_nothing(tmp_path, monkeypatch):
    def fails(self, *arguments):
        raise DataError("no more")

    monkeypatch.setattr(smoother.Smoother, "_smooth_piece", fails)
    before = len(os.listdir("/dev/fd"))

    with pytest.raises(DataError, match="no more"):
        estimate(text_of(stream(lines_of("ab abc"), EOS), EOS, 4), NgramConfig(order=3), tmp_path)
    assert not (tmp_path / "counting").exists()
    assert not (tmp_path / "ngram.json").exists()
    assert len(os.listdir("/dev/fd")) == before


@given(lines=corpora, order=st.integers(2, 5), chunk=st.integers(1, 5), unknown=st.sampled_from(["word", "mass"]))
@settings(max_examples=50, deadline=None)
def test_windows_in_a_chunk_are_few_or_all_the_same(lines, order, chunk, unknown):
    text = text_of(stream(lines, 5), 5, 6, unk_id=4, unknown=unknown)
    ranges = windows.plan_ranges(text, order, chunk)

    total = 0
    for range_ in ranges:
        assert range_.size <= chunk or range_.is_one(order)
        collected = windows.collect(text, order, range_)
        with blocks(7, chunk):
            for part in windows.chunks(collected, 0, 6):
                assert len(part.rows) <= chunk
                assert part.times == 1 or len(part.rows) == 1
                total += len(part.rows) * part.times
    unknown_words = sum(line.count(4) for line in lines) if unknown == "mass" else 0
    assert total == len(text) + 1 - unknown_words


def test_a_spool_is_an_array_in_a_file(tmp_path):
    with Spool(tmp_path / "spool.npy", np.uint16) as spool:
        spool.append(np.array([1, 2, 3]))
        spool.append(np.array([], dtype=np.int64))
        spool.append(np.array([4]))
        spool.write(1, np.array([7, 8]))
        assert spool.read(1, 4).tolist() == [7, 8, 4]
        assert [(start, piece.tolist()) for start, piece in spool.pieces(3)] == [(0, [1, 7, 8]), (3, [4])]

    assert np.load(tmp_path / "spool.npy").tolist() == [1, 7, 8, 4]


def test_bigrams_worked_by_hand():
    # Bigrams of "ab ab ac": <s>a 3, ab 2, ac 1, b</s> 2, c</s> 1: n1 = n2 = 2, n3 = 1, n4 = 0, y = 2 / (2 + 2·2) = 1/3,
    # D1 = 1 - 2/3·2/2 = 1/3, D2 = 2 - 3/3·1/2 = 3/2, D3+ = 3 - 0 = 3.
    # Unigrams count the words before them: a 1, b 1, c 1, </s> 2. There is no 3, so D = 0.5, 1, 1.5.
    model = fit_ids(stream(lines_of("ab ab ac"), EOS), 2, 4, EOS)
    unigrams, bigrams = model.levels

    assert model.settings["discounts"][1] == pytest.approx((1 / 3, 3 / 2, 3))
    # b() = (3·0.5 + 1) / 5 = 1/2; a, b, c: (1 - 0.5)/5 + 1/2 · 1/4 = 0.225; </s>: (2 - 1)/5 + 1/8 = 0.325
    assert np.exp(unigrams.log_probs) == pytest.approx([0.225, 0.225, 0.225, 0.325])
    # b(a) = (3/2 + 1/3) / 3 = 11/18, b(b) = 3/2 / 2, b(c) = 1/3, b(<s>) = 3/3
    assert np.exp(unigrams.log_backoffs) == pytest.approx([11 / 18, 3 / 4, 1 / 3, 1])
    # ab: (2 - 3/2)/3 + 11/18·0.225   ac: (1 - 1/3)/3 + 11/18·0.225   b</s>: (2 - 3/2)/2 + 3/4·0.325
    # c</s>: (1 - 1/3)/1 + 1/3·0.325   <s>a: (3 - 3)/3 + 1·0.225
    expected = [1 / 6 + 0.1375, 2 / 9 + 0.1375, 0.25 + 0.24375, 2 / 3 + 0.325 / 3, 0.225]
    assert np.exp(bigrams.log_probs) == pytest.approx(expected)


def test_discounts_follow_the_closed_form():
    # n1 = 4, n2 = 2, n3 = 2, n4 = 1: y = 4/8, D1 = 1 - 2·½·2/4, D2 = 2 - 3·½·2/2, D3+ = 3 - 4·½·1/2
    counts = np.array([1, 1, 1, 1, 2, 2, 3, 3, 4, 9])

    assert modified_kneser_ney(counts_of_counts(counts)) == pytest.approx((0.5, 0.5, 2.0))


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [2, 2, 3],  # nothing seen once
        [1, 1, 3],  # nothing seen twice
        [1, 1, 2],  # nothing seen three times
        [1, 2, 3, 3, 3, 3],  # y = 1/3, D2 = 2 - 3·⅓·4/1 < 0
        [1, 2, 3, 3],  # D2 = 2 - 3·⅓·2/1 = 0: nothing would be left to unseen words
    ],
)
def test_discounts_that_are_undefined_or_not_positive_are_none(counts):
    assert modified_kneser_ney(counts_of_counts(np.array(counts, dtype=np.int64))) is None


def test_lmplz_counts_the_last_ngram_plainly():
    # c appears last. It stands twice after b: 1 different word before it, 2 occurrences; bc after a and b.
    text = text_of(stream(lines_of("abc bbc"), EOS), EOS, 4)

    assert list(lmplz_corrections(text, 4)) == [(1, 2), (2, 2), (1, 1)]


def test_without_words_only_line_ends_are_left():
    # Two empty lines: </s> twice as a unigram, </s> at the start of a line twice; no 3-gram fits into a line.
    model = fit_ids(stream([[], []], 1), 3, 2, 1)

    assert [len(level) for level in model.levels] == [2, 1, 0]
