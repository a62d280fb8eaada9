"""Many words to ids at once, and the counting of words that nobody knows yet: hash tables in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool_tokenizers import word_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST = 12
"""A table has at least 2**12 slots."""


class WordTable:
    """Ids of known words: the position of each in a list. Nothing changes once it is made: threads may share it.

    Args:
        words: Different ones. The first is the end of a line, however it is spelt.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._letters, self._starts = _joined(words)
        self._bits = _bits(len(words))
        self._slots = np.zeros(1 << self._bits, np.uint64)
        word_kernels.insert(self._slots, self._bits, self._letters, self._starts, 1, len(words))

    def encode(self, text: str, unknown: int) -> np.ndarray:
        """int32 [N]: the ids of all whitespace-separated words, 0 for each line's end.

        Args:
            text: Lines, each with its `\\n`.
            unknown: The id of words that are not in the list.
        """
        data = to_bytes(text)
        ids = np.empty(len(data), np.int32)
        arrays = word_kernels.CLASSES, self._slots, self._bits, self._letters, self._starts
        return ids[: word_kernels.encode(data, len(data), *arrays, unknown, ids)].copy()


class WordCounter:
    """How often each whitespace-separated word occurs. Memory grows with the number of different words."""

    def __init__(self) -> None:
        self._bits = SMALLEST
        self._slots = np.zeros(1 << SMALLEST, np.uint64)
        self._letters = np.zeros(1 << 16, np.uint8)
        self._starts, self._counts = np.zeros(self._limit + 1, np.int64), np.zeros(self._limit, np.int64)
        self._known = np.zeros(1, np.int64)

    @property
    def _limit(self) -> int:
        """Words that the table may hold: half of its slots."""
        return 1 << (self._bits - 1)

    def add(self, text: str) -> None:
        """Count the words of a text that ends with a line's end."""
        data = to_bytes(text)
        done = self._count(data, 0)
        while done < len(data):
            self._grow(len(data) - done)
            done = self._count(data, done)

    def _count(self, data: np.ndarray, offset: int) -> int:
        table = self._slots, self._bits, self._letters, len(self._letters), self._starts, self._limit
        done: int = word_kernels.count(data, offset, len(data), word_kernels.CLASSES, *table, self._known, self._counts)
        return done

    def _grow(self, waiting: int) -> None:
        """Twice as many words and letters, or as many letters as there may come."""
        known, used = int(self._known[0]), int(self._starts[self._known[0]])
        if len(self._letters) < used + waiting:
            self._letters = np.concatenate([self._letters, np.zeros(max(len(self._letters), waiting), np.uint8)])
        if known == self._limit:
            self._bits += 1
            self._starts = np.concatenate([self._starts, np.zeros(known, np.int64)])
            self._counts = np.concatenate([self._counts, np.zeros(known, np.int64)])
            self._slots = np.zeros(1 << self._bits, np.uint64)
            word_kernels.insert(self._slots, self._bits, self._letters, self._starts, 0, known)

    def words(self) -> list[str]:
        """All words, in the order in which they came first."""
        known = int(self._known[0])
        letters = self._letters[: self._starts[known]].tobytes()
        return letters.decode("utf-8", "surrogatepass").split("\n")[:-1]

    def counts(self) -> np.ndarray:
        """int64 [M], of the words in this order."""
        return self._counts[: self._known[0]].copy()


def to_bytes(text: str) -> np.ndarray:
    """uint8 [N]: UTF-8."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def _joined(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint8: the letters of all words, each followed by a line's end; int64 [M + 1]: where each begins."""
    text = "\n".join([*words, ""])
    if text.count("\n") > len(words):  # what holds a line's end is no word of any text
        text = "\n".join([*(word.replace("\n", " ") for word in words), ""])
    letters = to_bytes(text)
    starts = np.zeros(len(words) + 1, np.int64)
    starts[1:] = np.flatnonzero(letters == ord("\n")) + 1
    return letters, starts


def _bits(num_words: int) -> int:
    """Of a table that is filled to a half at most."""
    return max(SMALLEST, int(2 * num_words).bit_length())
