"""All windows of a text, sorted by their words: what every order of n-grams is read off from.

As many words as fit are packed into one 64-bit key and sorted at once. What is left equal is sorted by the words after
them, which for most windows is never needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

KEY_BITS = 63


class SortedWindows:
    """The `order` words from each position of a text on, cut after the end of a line, column by column.

    A window begins at every position; one that begins at a line's end holds the next line's first words.

    Args:
        text: int32 [N], `eos_id` before the first line and after each.
        order: Columns.
        eos_id: The end of a line.
        vocab_size: V; ids are smaller.
    """

    def __init__(self, text: np.ndarray, order: int, *, eos_id: int, vocab_size: int) -> None:
        self.order = order
        self._word_bits = int(vocab_size).bit_length()
        self._words = np.concatenate([text + 1, np.zeros(order, dtype=np.int32)])
        self._lengths = _lengths(text, order, eos_id)
        self.positions: np.ndarray = np.arange(len(text), dtype=np.int32 if len(text) < 1 << 31 else np.int64)
        """int [N], where the windows begin, in sorted order; windows that are equal so far change places."""
        self.is_new = np.zeros(len(text), dtype=bool)
        """bool [N], True where the window differs from the one before it in the columns so far."""
        self.is_new[0] = True

    def columns(self) -> Iterator[np.ndarray]:
        """Column 1, 2, …: int32 [N], each window's word there, an id plus one; 0 after the end of its line."""
        done = 0
        while done < self.order:
            group_bits = len(self.positions).bit_length() if done else 0
            fits = max(1, (KEY_BITS - group_bits) // self._word_bits)
            stop = min(self.order, done + fits)
            keys = self._sort(done, stop)
            for column in reversed(range(stop - done)):
                words = (keys >> (self._word_bits * column)).astype(np.int32)
                words &= (1 << self._word_bits) - 1
                self.is_new[1:] |= words[1:] != words[:-1]
                yield words
            done = stop

    def _sort(self, done: int, stop: int) -> Any:
        """Sort windows that are equal in `done` columns by those up to `stop`; returns int64 [N], these packed."""
        keys = np.zeros(len(self.positions), dtype=np.int64)
        for column in range(done, stop):
            keys <<= self._word_bits
            keys |= np.where(self._lengths > column, self._words[column : column + len(keys)], 0)
        if not done:
            self.positions = np.argsort(keys).astype(self.positions.dtype)
            return keys[self.positions]
        keys = keys[self.positions]
        tied = np.flatnonzero(~(self.is_new & np.append(self.is_new[1:], True)))
        groups = np.cumsum(self.is_new)[tied] << (self._word_bits * (stop - done))
        order = tied[np.argsort(groups | keys[tied])]
        keys[tied], self.positions[tied] = keys[order], self.positions[order]
        return keys


def _lengths(text: np.ndarray, order: int, eos_id: int) -> np.ndarray:
    """int8 [N]: how many words the window at each position has, up to the end of its line."""
    lengths = np.ones(len(text), dtype=np.int8)
    goes_on = np.ones(len(text), dtype=bool)
    for column in range(1, order):
        goes_on[-column:] = False
        lengths += goes_on
        goes_on[:-column] &= text[column:] != eos_id
    return lengths
