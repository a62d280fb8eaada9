"""The n-gram without its first word, of every n-gram: where it stands in the order below.

The children of an n-gram p, the n-grams that p begins, are found without their first word among the children of q,
where q is p without its first word; both lists are ascending. So the places of one order follow from those of the order
below. What is looked up at random, one order's words, is held in memory for a range of q at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.compiled import compiled
from lmtool_ngram import spool as spools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmtool_ngram.estimation.counting import Counts, Families
    from lmtool_ngram.estimation.threads import Workers
    from lmtool_ngram.spool import Scratch, Spool


@dataclass(frozen=True)
class Linked:
    """One order's n-grams with what ties them to the order below. All of length M."""

    counts: Counts
    suffixes: Spool | None
    """Where each stands in the order below without its first word; None at order 1."""
    adjusted: Spool
    """The counts that smoothing takes."""


def link(
    levels: Sequence[Counts], scratch: Scratch, *, continuations: bool, memory: int, workers: Workers
) -> list[Linked]:
    """Tie all orders together, order 1 first.

    Args:
        levels: Order 1 first.
        scratch: Where to write.
        continuations: Whether orders below the highest count the different words before an n-gram.
        memory: Bytes that tables may take.
        workers: Threads.
    """
    suffixes = [level.words for level in levels[1:2]]  # a bigram without its first word is its last
    for n in range(3, len(levels) + 1):
        places = scratch.spool(f"suffixes-{n}", np.uint32)
        _write_suffixes(levels[n - 3], levels[n - 2], levels[n - 1], suffixes[-1], places, memory, workers)
        suffixes.append(places)
    linked = []
    for n, (level, own, above) in enumerate(zip(levels, [None, *suffixes], [*suffixes, None], strict=True), start=1):
        adjusted = level.counts
        if continuations and above is not None:
            adjusted = scratch.spool(f"adjusted-{n}", np.uint32)
            _write_continuations(level, above, adjusted, memory)
        linked.append(Linked(level, own, adjusted))
    return linked


def _write_suffixes(
    before: Counts, below: Counts, level: Counts, suffixes: Spool, places: Spool, memory: int, workers: Workers
) -> None:
    """The place in the order below of each n-gram without its first word, from those of the order below."""
    for table in _tables(before.children, below.words, memory // 2):  # one is read while the last one is still there
        is_first, limits = not table.low, (table.low, table.low + len(table.starts) - 1)
        inside = table.starts, table.words, table.offset

        def find(block: Families, is_first: bool = is_first, known: Any = (*limits, *inside)) -> tuple[int, np.ndarray]:
            start, stop = block.children.start, block.children.stop
            wanted = level.words.read(start, stop).astype(np.int32, copy=False)
            own = suffixes.read(block.parents.start, block.parents.stop).astype(np.uint32, copy=False)
            found = np.zeros(len(wanted), np.uint32) if is_first else places.read(start, stop)
            if missing := _find_all(block.sizes, own, len(own), wanted, *known, found):
                raise RuntimeError(f"{missing} n-grams of {level.words.file.name} have no suffix")
            return start, found

        for start, found in workers.map(find, below.families()):
            places.append(found) if is_first else places.write(start, found)


@dataclass(frozen=True)
class _Table:
    """A range of n-grams from `low` on: where the children of each begin among `words`, the first being `offset`."""

    low: int
    starts: np.ndarray
    words: np.ndarray
    offset: int


def _tables(children: Spool, words: Spool, memory: int) -> Iterator[_Table]:
    """Ranges whose tables fit, at least a piece each."""
    low, offset, size = 0, 0, 0
    held: list[np.ndarray] = []
    for _, piece in children.pieces():
        needed = len(piece) * 8 + int(piece.sum()) * 4
        if held and size + needed > memory:
            yield (table := _table(low, held, offset, words))
            low, offset, size, held = low + len(table.starts) - 1, offset + len(table.words), 0, []
            del table
        held.append(piece)
        size += needed
    if held:
        yield _table(low, held, offset, words)


def _table(low: int, children: list[np.ndarray], offset: int, words: Spool) -> _Table:
    starts = np.zeros(sum(map(len, children)) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(children), out=starts[1:])
    return _Table(low, starts, words.read(offset, offset + int(starts[-1])).astype(np.int32, copy=False), offset)


@compiled("uint32[:], uint32[:], int64, int32[:], int64, int64, int64[:], int32[:], int64, uint32[:] -> int64")
def _find_all(children, suffixes, length, wanted, low, high, starts, words, offset, found):  # type: ignore[no-untyped-def]
    """Fill in the places of the children of those whose suffix is in the range; returns how many are missing."""
    child = 0
    missing = 0
    for p in range(length):
        stop = child + children[p]
        q = np.int64(suffixes[p])
        if child == stop or q < low or q >= high:
            child = stop
            continue
        at = starts[q - low]
        end = starts[q - low + 1]
        while child < stop:
            word = wanted[child]
            size = end - at
            while size > 1:  # the word, if it is there, lies in [at, at + size)
                half = size >> 1
                if words[at + half] <= word:
                    at += half
                size -= half
            missing += size < 1 or words[at] != word
            found[child] = at + offset
            child += 1
    return missing


def _write_continuations(below: Counts, suffixes: Spool, adjusted: Spool, memory: int) -> None:
    """How many different words stand before each n-gram of the order below; at least 1 if it was seen.

    An n-gram that starts a line has its plain count. Before an n-gram there may be nothing that counts, where unknown
    words are left out: it then counts once.
    """
    at_once = max(spools.PIECE, memory // 8)
    for low in range(0, len(below), at_once):
        high = min(low + at_once, len(below))
        counts = np.zeros(high - low, dtype=np.uint32)
        for _, places in suffixes.pieces():
            _count(places.astype(np.uint32, copy=False), len(places), low, high, counts)
        lines = slice(max(low, below.line_starts.start), min(high, below.line_starts.stop))
        if lines.start < lines.stop:
            counts[lines.start - low : lines.stop - low] = below.counts.read(lines.start, lines.stop)
        # Only unigrams may never have been seen.
        np.maximum(counts, np.minimum(below.counts.read(low, high), 1), out=counts, casting="unsafe")
        adjusted.append(counts)


@compiled("uint32[:], int64, int64, int64, uint32[:]")
def _count(places, length, low, high, counts):  # type: ignore[no-untyped-def]
    for i in range(length):
        place = np.int64(places[i])
        if low <= place < high:
            counts[place - low] += 1


def gather(table: Spool, places: Spool, gathered: Spool, *, memory: int, workers: Workers) -> None:
    """Write `table[places]`.

    Args:
        table: float32.
        places: Of its elements.
        gathered: float32, empty.
        memory: Bytes that the table may take.
        workers: Threads.
    """
    at_once = max(spools.PIECE, memory // 8)  # one part is read while the last one is still there
    for low in range(0, len(table), at_once):
        part = table.read(low, min(low + at_once, len(table)))

        def take(piece: tuple[int, np.ndarray], low: int = low, part: np.ndarray = part) -> tuple[int, np.ndarray]:
            start, wanted = piece
            found = gathered.read(start, start + len(wanted)) if low else np.empty(len(wanted), dtype=np.float32)
            _take(wanted.astype(np.uint32, copy=False), len(wanted), low, low + len(part), part, found)
            return start, found

        for start, found in workers.map(take, places.pieces()):
            gathered.write(start, found) if low else gathered.append(found)


@compiled("uint32[:], int64, int64, int64, float32[:], float32[:]")
def _take(places, length, low, high, table, found):  # type: ignore[no-untyped-def]
    for i in range(length):
        place = np.int64(places[i])
        if low <= place < high:
            found[i] = table[place - low]


__all__ = ["Linked", "gather", "link"]
