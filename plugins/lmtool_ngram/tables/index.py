"""The index of an order: a hash table that tells where the n-grams of contexts with many continuations are.

One read finds what searching some thousand words would take a dozen for. Contexts with up to `SEARCHED` continuations
are not in it, which keeps it to about an eighth of the model's size.

An index is a uint32 array of slots, 0 where empty. The n-gram of the context in place `parent` and the word `word` has
64 mixed bits (`lookup_kernels.hashed`); it stands in the first free slot from `upper 32 bits * slots / 2^32` on, as
`tag * 2^b + place + 1`, where b is the bits that `M` takes (`place_bits`), and the tag is the upper 32 - b of the lower
32 bits. A tag that agrees by chance does no harm: the place must lie among the continuations of the context, and the
word there is compared.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import Compiled, compiled
from lmtool_ngram.tables.columns import ArrayColumn
from lmtool_ngram.tables.lookup_kernels import hashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool_ngram.tables.columns import Column
    from lmtool_ngram.tables.trie import Level

SEARCHED = 8
"""Continuations of a context up to which they are searched. Part of the format."""
LOAD = 0.6
"""Of the slots at most so many are taken; fuller ones are smaller and slower."""
SEGMENT = 1 << 24
"""Slots that are filled at once: what is written at random stays in memory."""
_PIECE = 1 << 18
"""Contexts, and n-grams, that are read at once."""


def place_bits(num_ngrams: int) -> int:
    """Bits of a slot that tell the place."""
    return num_ngrams.bit_length()


def num_slots(starts: Column) -> int:
    """How large the index of an order is; 0 if it has nothing to hold.

    Args:
        starts: uint32, as in `Level`.
    """
    count = 0
    for _, part in _pieces(starts):
        sizes = np.diff(part)
        count += int(sizes[sizes > SEARCHED].sum())
    return int(count / LOAD) + 1 if count else 0


def fill(slots: np.ndarray, words: Column, starts: Column, between: Callable[[], None] = lambda: None) -> None:
    """Enter the n-grams of an order; reads them once for each `SEGMENT` of slots.

    Args:
        slots: uint32 [`num_slots(starts)`], all 0; may be a mapped file.
        words: uint16 or int32 [M].
        starts: uint32, as in `Level`.
        between: Called behind each segment.
    """
    bits = place_bits(len(words))
    for begin in range(0, len(slots), SEGMENT):
        for first, part in _pieces(starts):
            low = int(part[0])
            piece = np.ascontiguousarray(words.read(low, int(part[-1])))
            enter = _enter(piece.dtype.name)
            enter(part, first, len(part) - 1, piece, low, SEARCHED, bits, slots, len(slots), begin, begin + SEGMENT)
        between()


def indexed(level: Level) -> Level:
    """The same order with an index, in memory."""
    words, starts = ArrayColumn(level.words), ArrayColumn(level.starts.astype(np.uint32, copy=False))
    slots = np.zeros(num_slots(starts), dtype=np.uint32)
    fill(slots, words, starts)
    return replace(level, index=slots)


def _pieces(starts: Column) -> Iterator[tuple[int, np.ndarray]]:
    """The first of some contexts, and where the n-grams of each begin, and of the one behind."""
    for first in range(0, len(starts) - 1, _PIECE):
        part = np.ascontiguousarray(starts.read(first, min(first + _PIECE + 1, len(starts))))
        begin = 0
        while begin < len(part) - 1:
            # As many contexts as have `_PIECE` n-grams, but one at least.
            end = int(np.searchsorted(part, np.int64(part[begin]) + _PIECE, side="right")) - 1
            end = max(end, begin + 1)
            yield first + begin, part[begin : end + 1]
            begin = end


def _enter_words(  # type: ignore[no-untyped-def]
    starts, first, num_contexts, words, first_word, searched, bits, slots, num_slots, begin, end
):
    """Those n-grams of some contexts whose first slot lies from `begin` to before `end`."""
    for i in range(num_contexts):
        if np.int64(starts[i + 1]) - np.int64(starts[i]) <= searched:
            continue
        for place in range(starts[i], starts[i + 1]):
            mixed = hashed(first + i, np.int64(words[place - first_word]))
            slot = (np.int64(mixed >> np.uint64(32)) * num_slots) >> 32
            if slot >= begin and slot < end:
                tag = np.int64(mixed & np.uint64(0xFFFFFFFF)) >> bits
                while slots[slot] != 0:
                    slot = slot + 1 if slot + 1 < num_slots else 0
                slots[slot] = np.uint32((tag << bits) | (np.int64(place) + 1))


@lru_cache(None)
def _enter(word: str) -> Compiled:
    arrays = f"uint32[:], int64, int64, {word}[:], int64, int64, int64, uint32[:], int64, int64, int64"
    return compiled(arrays, hashed)(_enter_words)


__all__ = ["SEARCHED", "fill", "indexed", "num_slots", "place_bits"]
