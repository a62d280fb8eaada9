"""Counting: the n-grams of every order from one sort of all windows.

The windows of a text, each cut after the end of its line, are sorted once by their words. In that order all n-grams
with a common beginning lie side by side, so each order is read off as runs of equal beginnings; nothing is hashed and
nothing depends on the order's size. As many words as fit are packed into one 64-bit key, and what is left equal is
refined by the words after them, which for most windows is never needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

KEY_BITS = 63


@dataclass(frozen=True)
class Counts:
    """The distinct n-grams of one order, in lexicographic order of their ids. All arrays have length M.

    An n-gram that starts a line begins with `eos_id`; in its last place `eos_id` is the end of a line, and it stands
    nowhere between.
    """

    words: np.ndarray
    """int32, the last word of each."""
    parents: np.ndarray
    """int, the place of its first n-1 words among the n-grams of the order below; ascending."""
    suffixes: np.ndarray
    """int, the place of its last n-1 words among the n-grams of the order below."""
    counts: np.ndarray
    """int64, how often it occurs."""
    line_starts: slice
    """Those that begin with the start of a line."""

    def __len__(self) -> int:
        return len(self.words)


def count_words(ids: np.ndarray, vocab_size: int) -> Counts:
    """Order 1: every word of the vocabulary in the place of its id, unseen ones with count 0."""
    words = np.arange(vocab_size, dtype=np.int32)
    nowhere = np.zeros(vocab_size, dtype=np.int32)
    return Counts(words, nowhere, nowhere, np.bincount(ids, minlength=vocab_size), slice(0, 0))


def count_ngrams(ids: np.ndarray, order: int, *, eos_id: int, vocab_size: int) -> Iterator[Counts]:
    """The n-grams of order 1, 2, … `order` of a stream of lines, each ended by `eos_id`.

    Args:
        ids: int [N], at least one.
        order: The highest n.
        eos_id: Ends each line; as context it also stands before the first word of each.
        vocab_size: V; ids are smaller.
    """
    yield count_words(ids, vocab_size)
    if order == 1:
        return
    # An index fits 31 bits for any text that fits the memory of a workstation; half the memory traffic of 64.
    index = np.int32 if len(ids) < 2**31 - order else np.int64
    text = np.concatenate([[eos_id], ids], dtype=np.int32)
    windows = _Windows(text, order, eos_id, vocab_size, index)
    nodes, line_starts = text, slice(eos_id, eos_id + 1)
    for column in windows.columns():
        level, nodes, line_starts = windows.read_off(column, nodes, line_starts)
        yield level


class _Windows:
    """All windows of a text in sorted order, column by column; see the module's docstring.

    A word in a column is its id plus one; 0 stands for "after the end of the line" and sorts first.
    """

    def __init__(self, text: np.ndarray, order: int, eos_id: int, vocab_size: int, index: type) -> None:
        self.order, self.index = order, index
        self.word_bits = int(vocab_size).bit_length()
        self.padded = np.concatenate([text + 1, np.zeros(order, dtype=np.int32)])
        self.lengths = _window_lengths(text, order, eos_id)
        # In sorted order: the windows' first positions, the places of their first n words among the n-grams, and
        # whether they differ from the window before in the columns so far.
        self.starts: np.ndarray = np.arange(len(text), dtype=index)
        self.ids: np.ndarray = np.zeros(len(text), dtype=index)
        self.is_new: np.ndarray = np.arange(len(text)) == 0

    def columns(self) -> Iterator[np.ndarray]:
        """The words in column 2, 3, … of the sorted windows."""
        done = 0
        while done < self.order:
            fits = (KEY_BITS - (len(self.starts).bit_length() if done else 0)) // self.word_bits
            stop = min(self.order, done + max(1, fits))
            keys = self._sort(done, stop)
            for column in range(done, stop):
                shift = self.word_bits * (stop - 1 - column)
                words = ((keys >> shift) & ((1 << self.word_bits) - 1)).astype(np.int32)
                if column == 0:
                    self.is_new[1:] |= words[1:] != words[:-1]
                    self.ids = words - 1
                else:
                    yield words
            done = stop

    def _sort(self, done: int, stop: int) -> np.ndarray:
        """Sort the windows that are equal in the first `done` columns by the columns up to `stop`; returns the keys."""
        keys: np.ndarray = np.zeros(len(self.starts), dtype=np.int64)
        for column in range(done, stop):
            keys <<= self.word_bits
            keys |= np.where(self.lengths > column, self.padded[column : column + len(keys)], 0)
        keys = keys[self.starts]
        tied: Any = slice(None)
        groups: Any = 0
        if done:
            tied = ~(self.is_new & np.append(self.is_new[1:], True))
            groups = np.cumsum(self.is_new)[tied] << (self.word_bits * (stop - done))
        places = np.argsort(groups | keys[tied])
        self.starts[tied] = self.starts[tied][places]
        keys[tied] = keys[tied][places]
        return keys

    def read_off(self, words: np.ndarray, nodes: np.ndarray, line_starts: slice) -> tuple[Counts, np.ndarray, slice]:
        """The n-grams that end in a column, given `nodes`: the place of the n-1-gram that starts at each position."""
        self.is_new[1:] |= words[1:] != words[:-1]
        inside = words > 0
        heads = np.flatnonzero(self.is_new & inside)
        ids: np.ndarray = np.cumsum(self.is_new & inside, dtype=self.index) - 1
        parents, starts = self.ids[heads], self.starts[inside]
        self.ids = ids
        ids = ids[inside]
        bounds = np.searchsorted(parents, [line_starts.start, line_starts.stop])
        line_starts = slice(int(bounds[0]), int(bounds[1]))
        suffixes, counts = nodes[self.starts[heads] + 1], np.bincount(ids, minlength=len(heads))
        level = Counts(words[heads] - 1, parents, suffixes, counts, line_starts)
        nodes = np.empty_like(nodes, dtype=self.index)
        nodes[starts] = ids
        return level, nodes, line_starts


def _window_lengths(text: np.ndarray, order: int, eos_id: int) -> np.ndarray:
    """int8 [N]: how many words the window that starts at each position has, up to the end of its line."""
    lengths = np.ones(len(text), dtype=np.int8)
    inside = np.ones(len(text), dtype=bool)
    for column in range(1, order):
        inside[len(text) - column :] = False
        lengths += inside
        inside[: len(text) - column] &= text[column:] != eos_id
    return lengths
