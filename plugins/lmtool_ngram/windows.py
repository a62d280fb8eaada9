"""The windows of a text, sorted by their words: what every order of n-grams is read off from.

A window is the `order` words from one position of the text on, cut after the end of a line: a row of int32, each an id
plus one, 0 after the end. One begins at every position; one that begins at a line's end holds the next line's first
words. Windows are collected for a range of first words at a time, so that memory is bounded and the ranges, one after
the other, give all windows in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_ngram.training_text import TrainingText

CHUNK = 1 << 16
"""Windows that are sorted at once: few enough for a core's own cache."""
DIGIT_BITS = 11
"""Of the radix sort; a table of 2048 counters stays in the first cache."""


@dataclass(frozen=True)
class Range:
    """First words from `low` on, below `high`; if it is one word, second words from `low_second` on. Ids plus one."""

    size: int
    """Windows in it."""
    low: int
    high: int
    low_second: int = 0
    high_second: int = 1 << 31


@dataclass(frozen=True)
class Windows:
    """All windows of a range, in the order of the text."""

    rows: np.ndarray
    """int32 [M · order]."""
    order: int

    def __len__(self) -> int:
        return len(self.rows) // self.order


@dataclass(frozen=True)
class Chunk:
    """Some windows that follow each other when sorted, not yet sorted."""

    rows: np.ndarray
    """int32, their numbers."""
    shared: int
    """How many first words the first of them has in common with the last one of the chunk before."""


def plan_ranges(text: TrainingText, order: int, at_once: int) -> list[Range]:
    """Ranges of at most `at_once` windows each, if no two words side by side have more."""
    counts = np.append(text.word_counts, 0)
    counts[text.eos_id] += 1  # before the first line
    ranges = []
    for size, low, high in _cut(counts, at_once):
        if high - low == 1 and size > at_once and order > 1:
            seconds = _second_words(text, low + 1)
            ranges += [Range(part, low + 1, low + 2, *limits) for part, *limits in _cut(seconds, at_once)]
        else:
            ranges.append(Range(size, low + 1, high + 1))
    return ranges


def _cut(counts: np.ndarray, at_once: int) -> list[tuple[int, int, int]]:
    """Pieces of the range of all indices whose counts sum to at most `at_once`, or of one index: the sum, low, high."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    cuts = [0]
    while cuts[-1] < len(counts):
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, ends[cuts[-1]] + at_once, side="right")) - 1))
    return [(size, low, high) for low, high in pairwise(cuts) if (size := int(ends[high] - ends[low]))]


def _second_words(text: TrainingText, first: int) -> np.ndarray:
    """int64 [V + 1]: how often each word, an id plus one, follows a word."""
    counts = np.zeros(text.vocab_size + 1, dtype=np.int64)
    for words in text.words(1):
        counts += np.bincount(words[1:][words[:-1] == first], minlength=len(counts))
    return counts


def collect(text: TrainingText, order: int, range_: Range) -> Windows:
    """The windows of a range."""
    rows = np.empty(range_.size * order, dtype=np.int32)
    found = 0
    limits = range_.low, range_.high, range_.low_second, range_.high_second
    for words in text.words(order - 1):
        positions = len(words) - (order - 1)
        found = _collect(words, positions, order, text.eos_id + 1, *limits, rows, found)
    return Windows(rows, order)


@compiled("int32[:], int64, int64, int64, int64, int64, int64, int64, int32[:], int64 -> int64")
def _collect(words, positions, order, eos, low, high, low_second, high_second, rows, found):  # type: ignore[no-untyped-def]
    for i in range(positions):
        first = words[i]
        if first < low or first >= high or first == 0:
            continue
        if order > 1 and (words[i + 1] < low_second or words[i + 1] >= high_second):
            continue
        base = found * order
        rows[base] = first
        goes_on = True
        for column in range(1, order):
            word = words[i + column] if goes_on else 0
            rows[base + column] = word
            goes_on = word != 0 and word != eos
        found += 1
    return found


def chunks(windows: Windows, vocab_size: int) -> Iterator[Chunk]:
    """All windows in chunks; every window of one sorts before those of the next."""
    if len(windows):
        yield from _split(windows, np.arange(len(windows), dtype=np.int32), 0, 0, vocab_size)


def _split(windows: Windows, rows: np.ndarray, column: int, shared: int, vocab_size: int) -> Iterator[Chunk]:
    """Group rows that are equal in the columns before by one more column, and groups that are too large again."""
    grouped, ends = np.empty_like(rows), np.zeros(vocab_size + 2, dtype=np.int64)
    _group(windows.rows, windows.order, column, rows, len(rows), grouped, ends, vocab_size + 2)
    bounds = np.unique(ends)
    del rows, ends
    start = 0
    while start < len(grouped):
        stop = int(bounds[np.searchsorted(bounds, start + CHUNK, side="right") - 1])
        if stop > start:
            yield Chunk(grouped[start:stop], shared)
        else:
            stop = int(bounds[np.searchsorted(bounds, start, side="right")])
            if column + 1 < windows.order:
                yield from _split(windows, grouped[start:stop], column + 1, shared, vocab_size)
            else:
                yield Chunk(grouped[start:stop], shared)
        start, shared = stop, column


@compiled("int32[:], int64, int64, int32[:], int64, int32[:], int64[:], int64")
def _group(windows, order, column, rows, length, grouped, ends, size):  # type: ignore[no-untyped-def]
    """Counting sort by one column; leaves in `ends` where each group ends."""
    for i in range(length):
        ends[windows[rows[i] * order + column] + 1] += 1
    for word in range(1, size):
        ends[word] += ends[word - 1]
    for i in range(length):
        word = windows[rows[i] * order + column]
        grouped[ends[word]] = rows[i]
        ends[word] += 1


class Sorter:
    """What one thread needs to sort chunks."""

    def __init__(self, order: int) -> None:
        self.order = order
        self._capacity = 0

    def sort(self, windows: Windows, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """The chunk's windows column by column, int32 [order · M], and the numbers of its rows in order, int32 [M].

        Both are valid until the next call.
        """
        length = len(chunk.rows)
        if length > self._capacity:
            self._capacity = max(length, CHUNK)
            self._columns = np.empty(self._capacity * self.order, dtype=np.int32)
            self._rows, self._other = np.empty((2, self._capacity), dtype=np.int32)
            self._counters = np.empty(1 << DIGIT_BITS, dtype=np.int64)
        room = self._columns, self._rows, self._other, self._counters
        _sort(windows.rows, self.order, chunk.rows, length, *room, DIGIT_BITS)
        return self._columns, self._rows


@compiled("int32[:], int64, int32[:], int64, int32[:], int32[:], int32[:], int64[:], int64")
def _sort(windows, order, rows, length, columns, ordered, other, counters, digit_bits):  # type: ignore[no-untyped-def]
    """Radix sort from the last column to the first, each from its lowest digit."""
    for i in range(length):
        ordered[i] = i
        for column in range(order):
            columns[column * length + i] = windows[rows[i] * order + column]
    radix = 1 << digit_bits
    for back in range(order):
        base = (order - 1 - back) * length
        low = high = columns[base]
        for i in range(1, length):
            low = min(low, columns[base + i])
            high = max(high, columns[base + i])
        shift = 0
        while (high - low) >> shift:
            for digit in range(radix):
                counters[digit] = 0
            for i in range(length):
                counters[((columns[base + i] - low) >> shift) & (radix - 1)] += 1
            total = 0
            for digit in range(radix):
                count = counters[digit]
                counters[digit] = total
                total += count
            for i in range(length):
                row = ordered[i]
                digit = ((columns[base + row] - low) >> shift) & (radix - 1)
                other[counters[digit]] = row
                counters[digit] += 1
            for i in range(length):
                ordered[i] = other[i]
            shift += digit_bits
