"""Counting: the distinct n-grams of every order, from one sort of the text's windows, streamed to disk.

In the sorted windows all n-grams with a common beginning lie side by side, so every order is read off in one go as runs
of equal beginnings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.compiled import compiled
from lmtool_ngram import spool as spools
from lmtool_ngram.estimation.windows import CHUNK, MOST, Chunk, Sorter, Windows, chunks, collect, plan_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmtool_ngram.estimation.text import TrainingText
    from lmtool_ngram.estimation.threads import Workers
    from lmtool_ngram.spool import Scratch, Spool

AT_ONCE = 1 << 17
"""N-grams that a thread works on at once."""


@dataclass(frozen=True)
class Families:
    """Some n-grams of one order that follow each other, and all n-grams of the order above that they begin."""

    parents: slice
    children: slice
    sizes: np.ndarray
    """uint32 [C], how many children each parent has."""


@dataclass(frozen=True)
class Counts:
    """The distinct n-grams of one order, in lexicographic order of their ids: M of them, each array of that length.

    An n-gram that starts a line begins with `eos_id`; in its last place `eos_id` is the end of a line, and it stands
    nowhere between. At order 1 all V words are there, each in the place of its id, unseen ones with count 0.
    """

    words: Spool
    """The last word of each; uint16 or int32. Those that continue one n-gram of the order below are ascending."""
    counts: Spool
    """uint32 (int64 at order 1), how often it occurs."""
    children: Spool
    """uint32, how many n-grams of the order above it begins."""
    line_starts: slice
    """Those that begin with the start of a line; none at order 1, where `eos_id` is the end of a line."""

    def __len__(self) -> int:
        return len(self.words)

    def families(self) -> Iterator[Families]:
        """All n-grams as parents; as many at once as have `AT_ONCE` children, at least one parent."""
        first_child = 0
        for start, sizes in self.children.pieces():
            ends = np.cumsum(sizes, dtype=np.int64)
            low = before = 0
            while low < len(sizes):
                high = max(low + 1, int(np.searchsorted(ends, before + AT_ONCE, side="right")))
                after = int(ends[high - 1])
                parents, children = slice(start + low, start + high), slice(first_child + before, first_child + after)
                yield Families(parents, children, sizes[low:high])
                low, before = high, after
            first_child += before


def word_type(vocab_size: int) -> Any:
    """The smallest type of a word's id."""
    return np.uint16 if vocab_size <= 1 << 16 else np.int32


def count_ngrams(
    text: TrainingText,
    order: int,
    scratch: Scratch,
    *,
    memory: int,
    workers: Workers,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Counts]:
    """Order 1 first.

    Args:
        text: Fewer than 2^32 words.
        order: The highest n.
        scratch: Where the arrays go.
        memory: Bytes that may be used.
        workers: Threads that sort.
        progress: Told the fraction that is done.
    """
    writers = [_Writer(n, scratch, text.vocab_size) for n in range(2, order + 1)]
    children = np.zeros(text.vocab_size, dtype=np.int64)
    if order > 1:
        total, done = len(text) + 1, 0
        before = None
        for range_ in plan_ranges(text, order, _windows_at_once(order, memory, workers.number)):
            windows = collect(text, order, range_)
            parts = chunks(windows, range_.shared(before), text.vocab_size)
            for runs in _sorted_chunks(windows, parts, workers):
                _append(runs, writers, children)
                done += runs.num_windows
                progress(done / total)
            del windows, parts
            before = range_
    return _finish(text, writers, children, scratch)


def _windows_at_once(order: int, memory: int, threads: int) -> int:
    """How many windows fit: the words of each, and its number twice; beside blocks of text, and chunks in all threads.

    A chunk has its windows again, sorted and read off, three numbers a word, until all of them are written.
    """
    other = (16 << 20) + (threads + 2) * CHUNK * (28 * order + 8)
    at_once = max(memory // 4, memory - other) // (4 * order + 8)
    return min(max(at_once, spools.PIECE), MOST)


@dataclass(frozen=True)
class _Runs:
    """What one chunk gives: for each order, its n-grams; the first goes on with the last one of the chunk before."""

    words: list[np.ndarray]
    counts: list[np.ndarray]
    children: list[np.ndarray]
    num_windows: int


def _sorted_chunks(windows: Windows, parts: Iterable[Chunk], workers: Workers) -> Iterator[_Runs]:
    """The runs of each chunk, in order."""
    makers = [_RunMaker(windows.order) for _ in range(workers.number + 2)]  # more than there are chunks under way

    def make(numbered: tuple[int, Chunk]) -> _Runs:
        number, chunk = numbered
        return makers[number % len(makers)].runs(windows, chunk)

    return workers.map(make, enumerate(parts))


class _RunMaker:
    def __init__(self, order: int) -> None:
        self._sorter, self._order = Sorter(order), order
        self._capacity = 0

    def runs(self, windows: Windows, chunk: Chunk) -> _Runs:
        length = len(chunk.rows)
        if length + 1 > self._capacity:
            self._capacity = length + 1
            self._words, self._children = np.empty((2, self._order * self._capacity), dtype=np.int32)
            self._counts = np.empty(self._order * self._capacity, dtype=np.int64)
        columns, rows = self._sorter.sort(windows, chunk)
        sizes = np.ones(self._order, dtype=np.int64)
        arrays = self._words, self._counts, self._children
        _read_off(columns, rows, length, self._order, chunk.shared, chunk.times, *arrays, self._capacity, sizes)
        parts = [slice(n * self._capacity, n * self._capacity + int(size)) for n, size in enumerate(sizes)]
        words, counts, children = ([array[part].copy() for part in parts] for array in arrays)
        return _Runs(words, counts, children, length * chunk.times)


@compiled("int32[:], int32[:], int64, int64, int64, int64, int32[:], int64[:], int32[:], int64, int64[:]")
def _read_off(columns, rows, length, order, shared, times, words, counts, children, capacity, sizes):  # type: ignore[no-untyped-def]
    """Element 0 of each order stands for the last n-gram of the chunk before, which may go on."""
    for n in range(order):
        words[n * capacity] = 0
        counts[n * capacity] = 0
        children[n * capacity] = 0
    before = 0
    for i in range(length):
        row = rows[i]
        differs = shared  # the first column that does
        if i:
            differs = 0
            while differs < order and columns[differs * length + row] == columns[differs * length + before]:
                differs += 1
        before = row
        for n in range(order):
            word = columns[n * length + row]
            if word == 0:
                break
            if differs <= n:
                at = n * capacity + sizes[n]
                sizes[n] += 1
                words[at] = word - 1
                counts[at] = times
                children[at] = 0
                if n:
                    children[(n - 1) * capacity + sizes[n - 1] - 1] += 1
            else:
                counts[n * capacity + sizes[n] - 1] += times


def _append(runs: _Runs, writers: list[_Writer], children: np.ndarray) -> None:
    for writer, *arrays in zip(writers, runs.words[1:], runs.counts[1:], runs.children[1:], strict=True):
        writer.append(*arrays)
    first_words = runs.words[0]
    if len(writers):
        if len(first_words) > 1:
            children[first_words[1:]] += runs.children[0][1:]
        writers[0].add_to_first_word(int(runs.children[0][0]), children)
        if len(first_words) > 1:
            writers[0].first_word = int(first_words[-1])


class _Writer:
    """The arrays of one order; its last n-gram is held back, since the next chunk may go on with it."""

    def __init__(self, n: int, scratch: Scratch, vocab_size: int) -> None:
        self.words = scratch.spool(f"words-{n}", word_type(vocab_size))
        self.counts = scratch.spool(f"counts-{n}", np.uint32)
        self.children = scratch.spool(f"children-{n}", np.uint32)
        self.first_word = 0
        self._last = np.zeros((3, 0), dtype=np.int64)

    def append(self, words: np.ndarray, counts: np.ndarray, children: np.ndarray) -> None:
        if self._last.shape[1]:
            self._last[1] += int(counts[0])
            self._last[2] += int(children[0])
        if len(words) > 1:
            self._flush()
            spools = self.words, self.counts, self.children
            for spool, array in zip(spools, (words, counts, children), strict=True):
                spool.append(array[1:-1])
            self._last = np.array([[words[-1]], [counts[-1]], [children[-1]]], dtype=np.int64)

    def add_to_first_word(self, more: int, children: np.ndarray) -> None:
        """Bigrams that a chunk found for the last first word of the chunk before."""
        children[self.first_word] += more

    def _flush(self) -> None:
        for spool, array in zip((self.words, self.counts, self.children), self._last, strict=True):
            spool.append(array)

    def finish(self) -> None:
        self._flush()
        self._last = self._last[:, :0]


def _finish(text: TrainingText, writers: list[_Writer], children: np.ndarray, scratch: Scratch) -> list[Counts]:
    unigrams = Counts(
        scratch.spool("words-1", word_type(text.vocab_size)),
        scratch.spool("counts-1", np.int64),
        scratch.spool("children-1", np.uint32),
        slice(0, 0),
    )
    unigrams.words.append(np.arange(text.vocab_size))
    unigrams.counts.append(text.word_counts)
    unigrams.children.append(children)
    levels = [unigrams]
    line_starts = slice(text.eos_id, text.eos_id + 1)
    for writer in writers:
        writer.finish()
        line_starts = _children_of(levels[-1].children, line_starts)
        levels.append(Counts(writer.words, writer.counts, writer.children, line_starts))
    return levels


def _children_of(children: Spool, parents: slice) -> slice:
    """The places of the n-grams that some neighbouring n-grams of the order below begin."""
    start = sum(int(piece[: max(0, parents.start - at)].sum()) for at, piece in children.pieces())
    inside = (piece[max(0, parents.start - at) : max(0, parents.stop - at)] for at, piece in children.pieces())
    return slice(start, start + sum(int(piece.sum()) for piece in inside))


__all__ = ["Counts", "Families", "count_ngrams", "word_type"]
