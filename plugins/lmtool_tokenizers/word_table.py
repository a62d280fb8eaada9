"""Many words to ids at once: a hash table of words in NumPy arrays, more than twice as fast as a dict.

A word of up to 16 bytes of UTF-8 is two 64-bit numbers, filled up with zero bytes; longer ones, about one in a hundred,
are looked up in a dict. Nothing is approximate: keys are compared in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.data.counts import IS_SPACE, OTHER_SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN = -1
SHORT = 16
"""Bytes of a word that fits the table."""

_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


class Words:
    """The words of a text, each line's end among them as the word `\\n`.

    Args:
        lines: Without line ends and without NUL.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        text = "\n".join([*lines, ""])
        if not text.isascii():
            text = OTHER_SPACE.sub(" ", text)
        self.data = text.encode()
        points = np.frombuffer(self.data, np.uint8)
        space = np.concatenate([[True], IS_SPACE[points]])
        line_end = points == ord("\n")
        self.starts = np.flatnonzero((space[:-1] & ~space[1:]) | line_end)
        """[N] offset of each word in `data`."""
        self.lengths = np.ones(len(self.starts), np.int64)
        """[N] bytes of each word."""
        is_word = ~line_end[self.starts]
        self.lengths[is_word] = np.flatnonzero(~space[:-1] & space[1:]) - self.starts[is_word]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> bytes:
        return self.data[self.starts[i] : self.starts[i] + self.lengths[i]]

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        """uint64 [N] each: bytes 0 to 7 and 8 to 15 of each word, zero behind its end."""
        padded = np.frombuffer(self.data + bytes(SHORT), np.uint8)
        # a number at every byte, not at every eighth
        view = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded, strides=(1,))
        low = view[self.starts] & _LOW_BYTES[np.minimum(self.lengths, 8)]
        high = view[self.starts + 8] & _LOW_BYTES[np.clip(self.lengths - 8, 0, 8)]
        return low, high


class WordTable:
    """Ids of known words: the position of each in a list.

    Args:
        words: Different ones, without NUL and white space, but for `\\n`.
    """

    def __init__(self, words: Sequence[str]) -> None:
        encoded = [word.encode() for word in words]
        self._long = {word: i for i, word in enumerate(encoded) if len(word) > SHORT}
        ids = np.array([i for i, word in enumerate(encoded) if len(word) <= SHORT], np.int32)
        joined = b"".join([word.ljust(SHORT, b"\0") for word in encoded if len(word) <= SHORT])
        low, high = np.frombuffer(joined, "<u8").reshape(-1, 2).T
        self._bits = max(4, int(2 * len(ids)).bit_length())  # between a quarter and a half is filled
        self._low, self._high = np.zeros(1 << self._bits, np.uint64), np.zeros(1 << self._bits, np.uint64)
        self._ids = np.full(1 << self._bits, UNKNOWN, np.int32)
        self._insert(low, high, ids)

    def _insert(self, low: np.ndarray, high: np.ndarray, ids: np.ndarray) -> None:
        slots = self._hash(low, high)
        while len(ids):
            free = np.flatnonzero(self._ids[slots] == UNKNOWN)
            _, first = np.unique(slots[free], return_index=True)  # of several that want a slot, one gets it
            placed = free[first]
            taken = slots[placed]
            self._low[taken], self._high[taken], self._ids[taken] = low[placed], high[placed], ids[placed]
            left = np.ones(len(ids), bool)
            left[placed] = False
            low, high, ids = low[left], high[left], ids[left]
            slots = self._next(slots[left])

    def lookup(self, words: Words) -> np.ndarray:
        """int32 [N]: the id of each word, `UNKNOWN` where it is not in the table."""
        low, high = words.keys()
        found = np.full(len(words), UNKNOWN, np.int32)
        pending = np.flatnonzero(words.lengths <= SHORT)
        if len(pending) < len(words):
            low, high = low[pending], high[pending]
        slots = self._hash(low, high)
        while len(pending):
            ids = self._ids[slots]
            same = (self._low[slots] == low) & (self._high[slots] == high)
            found[pending[same]] = ids[same]
            left = np.flatnonzero(~same & (ids != UNKNOWN))
            pending, low, high, slots = pending[left], low[left], high[left], self._next(slots[left])
        for i in np.flatnonzero(words.lengths > SHORT).tolist():
            found[i] = self._long.get(words[i], UNKNOWN)
        return found

    def _hash(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        mixed = (low * _MIX[0]) ^ (high * _MIX[1])
        mixed ^= mixed >> np.uint64(32)
        slots: np.ndarray = ((mixed * _MIX[0]) >> np.uint64(64 - self._bits)).astype(np.int64)
        return slots

    def _next(self, slots: np.ndarray) -> np.ndarray:
        following: np.ndarray = (slots + 1) & ((1 << self._bits) - 1)
        return following
