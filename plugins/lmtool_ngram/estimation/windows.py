"""The windows of a text, sorted by their words: what every order of n-grams is read off from.

A window is the `order` words from one position of the text on, cut after the end of a line: a row of int32, each an id
plus one, 0 after the end. One begins at every position; one that begins at a line's end holds the next line's first
words. Windows are collected for a range of first words at a time, so that memory is bounded and the ranges, one after
the other, give all windows in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_ngram.estimation.text import TrainingText

CHUNK = 1 << 16
"""Windows that are sorted at once: few enough for a core's own cache."""
MOST = (1 << 31) - 1
"""Windows of a range: their numbers have 32 bits."""
DIGIT_BITS = 11
"""Of the radix sort; a table of 2048 counters stays in the first cache."""


@dataclass(frozen=True)
class Range:
    """Windows that begin with some words and go on with one from `low` on, below `high`. All are ids plus one."""

    size: int
    """How many there are."""
    prefix: tuple[int, ...]
    low: int
    high: int

    def shared(self, before: Range | None) -> int:
        """How many first words all its windows have in common with all those of the range before."""
        same = zip(self.prefix, before.prefix if before else (), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], same))

    def is_one(self, order: int) -> bool:
        """Whether all its windows are the same."""
        return self.high - self.low == 1 and (self.low == 0 or len(self.prefix) + 1 == order)


@dataclass(frozen=True)
class Windows:
    """All windows of a range, in the order of the text."""

    rows: np.ndarray
    """int32 [M · order]."""
    order: int
    times: int = 1
    """How often each is there."""

    def __len__(self) -> int:
        return len(self.rows) // self.order


@dataclass(frozen=True)
class Chunk:
    """Some windows that follow each other when sorted, not yet sorted."""

    rows: np.ndarray
    """int32, their numbers."""
    shared: int
    """How many first words the first of them has in common with the last one of the chunk before."""
    times: int = 1
    """How often each is there."""


def plan_ranges(text: TrainingText, order: int, at_once: int) -> list[Range]:
    """Ranges of at most `at_once` windows each, or of more that are all the same."""
    counts = np.concatenate([[0], text.word_counts])
    counts[text.eos_id + 1] += 1  # before the first line
    return list(_plan(text, order, at_once, (), counts))


def _plan(text: TrainingText, order: int, at_once: int, prefix: tuple[int, ...], counts: np.ndarray) -> Iterator[Range]:
    for size, low, high in _cut(counts, at_once):
        range_ = Range(size, prefix, low, high)
        if size <= at_once or range_.is_one(order):
            yield range_
        else:
            longer = (*prefix, low)
            yield from _plan(text, order, at_once, longer, _words_after(text, longer))


def _cut(counts: np.ndarray, at_once: int) -> list[tuple[int, int, int]]:
    """Pieces of the range of all indices whose counts sum to at most `at_once`, or of one index: the sum, low, high."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    cuts = [0]
    while cuts[-1] < len(counts):
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, ends[cuts[-1]] + at_once, side="right")) - 1))
    return [(size, low, high) for low, high in pairwise(cuts) if (size := int(ends[high] - ends[low]))]


def _words_after(text: TrainingText, prefix: tuple[int, ...]) -> np.ndarray:
    """int64 [V + 1]: how often each word, an id plus one, comes next in windows that begin so; 0 for their end."""
    counts = np.zeros(text.vocab_size + 1, dtype=np.int64)
    wanted = np.array(prefix, dtype=np.int32)
    for words in text.words(len(prefix)):
        _count_after(words, len(words) - len(prefix), wanted, len(prefix), text.eos_id + 1, counts)
    return counts


@compiled("int32[:], int64, int32[:], int64, int64, int64[:]")
def _count_after(words, positions, prefix, length, eos, counts):  # type: ignore[no-untyped-def]
    for i in range(positions):
        column = 0
        while column < length and words[i + column] == prefix[column]:
            column += 1
        if column == length:
            is_end = length > 1 and prefix[length - 1] == eos
            counts[0 if is_end else words[i + length]] += 1


def collect(text: TrainingText, order: int, range_: Range) -> Windows:
    """The windows of a range."""
    if range_.is_one(order):
        window = [*range_.prefix, range_.low, *[0] * order][:order]
        return Windows(np.array(window, dtype=np.int32), order, range_.size)
    rows = np.empty(range_.size * order, dtype=np.int32)
    prefix = np.array(range_.prefix, dtype=np.int32)
    found = 0
    for words in text.words(order - 1):
        positions = len(words) - (order - 1)
        limits = prefix, len(prefix), range_.low, range_.high
        found = _collect(words, positions, order, text.eos_id + 1, *limits, rows, found)
    return Windows(rows, order)


@compiled("int32[:], int64, int64, int64, int32[:], int64, int64, int64, int32[:], int64 -> int64")
def _collect(words, positions, order, eos, prefix, length, low, high, rows, found):  # type: ignore[no-untyped-def]
    """No range that is collected begins with a line's end and goes on behind it: its windows are all the same."""
    for i in range(positions):
        column = 0
        while column < length and words[i + column] == prefix[column]:
            column += 1
        if column < length or words[i] == 0:
            continue
        is_end = length > 1 and words[i + length - 1] == eos
        word = 0 if is_end else words[i + length]
        if word < low or word >= high:
            continue
        base = found * order
        goes_on = True
        for column in range(order):
            word = words[i + column] if goes_on else 0
            rows[base + column] = word
            goes_on = word != 0 and (word != eos or column == 0)
        found += 1
    return found


def chunks(windows: Windows, shared: int, vocab_size: int) -> Iterator[Chunk]:
    """All windows in chunks; every window of one sorts before those of the next.

    Args:
        windows: At most `MOST`.
        shared: Of the first chunk.
        vocab_size: V.
    """
    rows = np.arange(len(windows), dtype=np.int32)
    if windows.times > 1:
        yield Chunk(rows, shared, windows.times)
    elif len(windows):
        yield from _split(windows, rows, np.empty_like(rows), 0, shared, vocab_size)


def _split(
    windows: Windows, rows: np.ndarray, other: np.ndarray, column: int, shared: int, vocab_size: int
) -> Iterator[Chunk]:
    """Order rows that are equal in the columns before by one more column, and what is too much to sort again.

    Args:
        windows: All.
        rows: Numbers of some; put in order in their place.
        other: Room for as many.
        column: The one more.
        shared: Of the first chunk.
        vocab_size: V.
    """
    ends = np.zeros(vocab_size + 2, dtype=np.int64)
    _group(windows.rows, windows.order, column, rows, len(rows), other, ends, vocab_size + 2)
    bounds = np.unique(np.append(ends, 0))
    del ends
    start = 0
    while start < len(rows):
        stop = int(bounds[np.searchsorted(bounds, start + CHUNK, side="right") - 1])
        if stop > start:
            yield Chunk(rows[start:stop], shared)
        else:
            stop = int(bounds[np.searchsorted(bounds, start, side="right")])
            part = rows[start:stop]
            if column + 1 == windows.order or windows.rows[int(part[0]) * windows.order + column] == 0:
                yield Chunk(part[:1], shared, len(part))
            else:
                yield from _split(windows, part, other[start:stop], column + 1, shared, vocab_size)
        start, shared = stop, column


@compiled("int32[:], int64, int64, int32[:], int64, int32[:], int64[:], int64")
def _group(windows, order, column, rows, length, other, ends, size):  # type: ignore[no-untyped-def]
    """Counting sort by one column; leaves in `ends` where each group ends."""
    for i in range(length):
        ends[windows[rows[i] * order + column] + 1] += 1
    for word in range(1, size):
        ends[word] += ends[word - 1]
    for i in range(length):
        word = windows[rows[i] * order + column]
        other[ends[word]] = rows[i]
        ends[word] += 1
    for i in range(length):
        rows[i] = other[i]


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
