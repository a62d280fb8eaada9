"""Counting: the n-grams of every order from one sort of the text.

In the sorted windows all n-grams with a common beginning lie side by side, so each order is read off as runs of equal
beginnings. The n-gram without its first word is found where the next window of the text begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmtool_ngram.windows import SortedWindows

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Counts:
    """The distinct n-grams of one order, in lexicographic order of their ids. All arrays have length M.

    An n-gram that starts a line begins with `eos_id`; in its last place `eos_id` is the end of a line, and it stands
    nowhere between. At order 1 all V words are there, each in the place of its id, unseen ones with count 0.
    """

    words: np.ndarray
    """int32, the last word of each."""
    parents: np.ndarray
    """int, the place of its first n-1 words among the n-grams of the order below; ascending."""
    suffixes: np.ndarray
    """int, the place of its last n-1 words among the n-grams of the order below."""
    counts: np.ndarray
    """int, how often it occurs."""
    line_starts: slice
    """Those that begin with the start of a line."""

    def __len__(self) -> int:
        return len(self.words)


def count_ngrams(ids: np.ndarray, order: int, *, eos_id: int, vocab_size: int) -> Iterator[Counts]:
    """The n-grams of order 1, 2, … `order` of a stream of lines, each ended by `eos_id`.

    Args:
        ids: int [N], at least one.
        order: The highest n.
        eos_id: Ends each line; as context it also stands before the first word of each.
        vocab_size: V; ids are smaller.
    """
    yield _count_words(ids, vocab_size)
    if order == 1:
        return
    text = np.concatenate([[eos_id], ids], dtype=np.int32)
    windows = SortedWindows(text, order, eos_id=eos_id, vocab_size=vocab_size)
    columns = windows.columns()
    # The place of an n-gram among those of its order, by the window that begins with it and by where that begins.
    places, places_in_text = next(columns) - 1, text
    del text, ids  # each order's arrays are as large as the text: hold none for longer than it is needed
    line_starts = slice(eos_id, eos_id + 1)
    for n, words in enumerate(columns, start=2):
        inside = words > 0
        is_head = inside & windows.is_new
        heads = np.flatnonzero(is_head)
        parents = places[heads]
        line_starts = slice(*np.searchsorted(parents, [line_starts.start, line_starts.stop]).tolist())
        suffixes = places_in_text[windows.positions[heads] + 1]
        level = Counts(words[heads] - 1, parents, suffixes, _run_lengths(inside, heads), line_starts)
        if n < order:
            places = np.cumsum(is_head, dtype=windows.positions.dtype)
            places -= 1
            # A window that has ended gets its neighbour's place, which nobody will ask for.
            places_in_text = np.empty_like(places)
            places_in_text[windows.positions] = places
            yield level
    del windows, words, inside, is_head, heads, parents, suffixes, places, places_in_text
    yield level


def _count_words(ids: np.ndarray, vocab_size: int) -> Counts:
    counts = np.bincount(ids, minlength=vocab_size)
    nowhere = np.zeros(vocab_size, dtype=np.int32)
    return Counts(np.arange(vocab_size, dtype=np.int32), nowhere, nowhere, counts, slice(0, 0))


def _run_lengths(inside: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """int32 [M]: how many windows each head stands for, up to the next head."""
    if not len(heads):
        return np.zeros(0, dtype=np.int32)
    return np.add.reduceat(inside, heads, dtype=np.int32 if len(inside) < 1 << 31 else np.int64)
