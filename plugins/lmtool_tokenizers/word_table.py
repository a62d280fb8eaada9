"""Many words to ids at once, and the counting of words that nobody knows yet: hash tables in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_tokenizers import word_kernels
from lmtool_tokenizers.word_kernels import CLASSES, PADDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SMALLEST = 12
"""A table has at least 2**12 slots."""
AT_ONCE = 1 << 14
"""Words that are found before they are looked up: so many of them wait for memory side by side."""


_HIGH_BYTES = np.array([(1 << 64) - (1 << 64 - 8 * n) for n in range(9)], np.uint64)


class Pieces:
    """A text's words, some thousand at a time, each line's end among them.

    Args:
        text: Lines, each with its `\\n`.

    Raises:
        ValueError: if the last one lacks it: the loops, which stop at nothing else, would read on behind the text.
    """

    def __init__(self, text: str) -> None:
        if text and not text.endswith("\n"):
            raise ValueError("the last line of a text has no line end")
        self._data, self._eights, self.size = _to_bytes(text)
        self._keys = np.empty(AT_ONCE, np.uint64)
        self._begins, self._lengths = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.int64)
        self._progress = np.zeros(2, np.int64)

    @property
    def words(self) -> tuple[np.ndarray, ...]:
        """The arguments by which kernels know the words that are at hand."""
        return self._data, self._keys, self._begins, self._lengths

    def __iter__(self) -> Iterator[int]:
        """How many are at hand."""
        while self._progress[0] < self.size:
            filled = self._keys, self._begins, self._lengths
            word_kernels.split(self._data, self._eights, self.size, CLASSES, *filled, AT_ONCE, self._progress)
            yield int(self._progress[1])


class WordCounter:
    """How often each whitespace-separated word occurs. Memory grows with the number of different words."""

    def __init__(self) -> None:
        self._bits = SMALLEST
        self._slots = np.zeros(2 << SMALLEST, np.uint64)
        self._letters = np.zeros(1 << 16, np.uint8)
        self._starts, self._counts = np.zeros(self._limit + 1, np.int64), np.zeros(self._limit, np.int64)
        self._known = np.zeros(1, np.int64)

    @property
    def _limit(self) -> int:
        """Words that the table may hold: half of its slots."""
        return 1 << (self._bits - 1)

    @property
    def _room(self) -> int:
        """Bytes of words that it may hold."""
        return len(self._letters) - PADDING

    def add(self, text: str) -> None:
        """Count the words of a text that ends with a line's end."""
        pieces = Pieces(text)
        for count in pieces:
            done = self._learn(pieces, 0, count)
            while done < count:
                self._grow(pieces.size)
                done = self._learn(pieces, done, count)

    def _learn(self, pieces: Pieces, offset: int, count: int) -> int:
        table = self._slots, self._bits, self._letters, self._room, self._starts, self._limit
        done: int = word_kernels.learn(*pieces.words, offset, count, *table, self._known, self._counts)
        return done

    def _grow(self, size: int) -> None:
        """Twice as many words, and as many letters as `size` bytes of text may bring."""
        known = int(self._known[0])
        if self._room <= self._starts[known] + size:
            more = max(len(self._letters), (size + 8) & ~7)  # whole eights
            self._letters = np.concatenate([self._letters, np.zeros(more, np.uint8)])
        if known == self._limit:
            self._bits += 1
            self._starts = np.concatenate([self._starts, np.zeros(known, np.int64)])
            self._counts = np.concatenate([self._counts, np.zeros(known, np.int64)])
            self._slots = np.zeros(2 << self._bits, np.uint64)
            word_kernels.insert(self._slots, self._bits, self._letters.view("<u8"), self._starts, 0, known)

    def merge(self, other: WordCounter) -> None:
        """Add what another one has counted."""
        counts = other._counts[: other._known[0]]
        text = other._text()
        self.add(text)  # each once
        table = self._slots, self._bits, self._letters, self._starts
        ids = _look_up(text, table, 0)[::2]  # each word is a line
        self._counts[ids] += counts - 1

    def _text(self) -> str:
        """All words, each with a line's end, in the order in which they came first."""
        return self._letters[: self._starts[self._known[0]]].tobytes().decode("utf-8", "surrogatepass")

    def sorted(self) -> tuple[list[str], list[int]]:
        """All words, the most frequent first, ties by code points; and how often each occurs."""
        known = int(self._known[0])
        words = self._text().split("\n")
        first, second, counts = self._first_bytes(0), self._first_bytes(8), self._counts[:known]
        order = np.lexsort((second, first, -counts))
        found = [words[i] for i in order.tolist()]
        tied = [np.diff(one[order]) == 0 for one in (first, second, counts)]
        for start, stop in _runs(np.logical_and.reduce(tied)):  # these differ, if at all, after their sixteenth byte
            found[start:stop] = sorted(found[start:stop])
        return found, counts[order].tolist()

    def _first_bytes(self, offset: int) -> np.ndarray:
        """uint64 [M]: eight bytes of each word, zeros behind its end. As numbers they are ordered as the bytes are."""
        known = int(self._known[0])
        lengths = np.diff(self._starts[: known + 1]) - 1
        at_every_byte = np.ndarray((len(self._letters) - 7,), ">u8", self._letters, strides=(1,))
        eights = at_every_byte[self._starts[:known] + offset].astype(np.uint64)
        kept: np.ndarray = eights & _HIGH_BYTES[np.clip(lengths - offset, 0, 8)]
        return kept


def _runs(tied: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where neighbours are tied: `(start, stop)` of each run; bool [M - 1] says so of each with the next."""
    edges = np.flatnonzero(np.diff(tied, prepend=False, append=False))
    return ((start, stop + 1) for start, stop in edges.reshape(-1, 2).tolist())


class WordTable:
    """Ids of known words: the position of each in a list. Nothing changes once it is made: threads may share it.

    Args:
        words: Different ones, for speed frequent ones first. The first is the end of a line, however it is spelt.
    """

    def __init__(self, words: Sequence[str]) -> None:
        text = "\n".join([*words, ""])
        if text.count("\n") > len(words):  # what holds a line's end is no word of any text
            text = "\n".join([*(word.replace("\n", " ") for word in words), ""])
        self._letters, eights, size = _to_bytes(text)
        self._starts = np.zeros(len(words) + 1, np.int64)
        self._starts[1:] = np.flatnonzero(self._letters[:size] == ord("\n")) + 1
        self._bits = max(SMALLEST, int(2 * len(words)).bit_length())
        self._slots = np.zeros(2 << self._bits, np.uint64)
        word_kernels.insert(self._slots, self._bits, eights, self._starts, 1, len(words))

    def encode(self, text: str, unknown: int) -> np.ndarray:
        """int32 [N]: the ids of all whitespace-separated words, 0 for each line's end.

        Args:
            text: Lines, each with its `\\n`.
            unknown: The id of words that are not in the list.
        """
        return _look_up(text, (self._slots, self._bits, self._letters, self._starts), unknown)


def _look_up(text: str, table: tuple[Any, ...], unknown: int) -> np.ndarray:
    """int32 [N]: the ids of all words, 0 for each line's end."""
    pieces = Pieces(text)
    found = [np.zeros(0, np.int32)]
    for count in pieces:
        ids = np.empty(count, np.int32)
        word_kernels.look_up(*pieces.words, count, *table, unknown, ids)
        found.append(ids)
    return np.concatenate(found)


def _to_bytes(text: str) -> tuple[np.ndarray, np.ndarray, int]:
    """UTF-8 and zeros behind it, uint8; the same memory as uint64; and how many bytes are text."""
    encoded = text.encode("utf-8", "surrogatepass")
    padded = encoded + bytes(PADDING + -len(encoded) % 8)
    return np.frombuffer(padded, np.uint8), np.frombuffer(padded, "<u8"), len(encoded)
