"""The text that n-grams are counted in, read block by block as often as it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 1 << 19
"""Tokens that are read at once."""


class TrainingText:
    """A stream of lines, each ended by `eos_id`, with one `eos_id` before the first.

    Args:
        read: `read(start, stop)` gives ids, int [stop - start].
        num_tokens: How many there are.
        eos_id: Ends each line; as context it also stands before the first word of each.
        vocab_size: V; ids are smaller.
        unk_id: The unknown word's, None if there is none.
        unknown: `word`, counted like any word; `mass`, no n-gram holds it; `skip`, left out of the stream.
    """

    def __init__(
        self,
        read: Callable[[int, int], np.ndarray],
        num_tokens: int,
        *,
        eos_id: int,
        vocab_size: int,
        unk_id: int | None = None,
        unknown: Literal["word", "mass", "skip"] = "word",
    ) -> None:
        self._read, self._num_tokens = read, num_tokens
        self.eos_id, self.vocab_size = eos_id, vocab_size
        self._unk_id = unk_id if unknown != "word" else None
        self._skips = unknown == "skip"
        self.word_counts = self._count_words()
        """int64 [V], how often each word is predicted; 0 for an unknown word that is no ordinary one."""

    def __len__(self) -> int:
        """Words of the stream, the unknown one included unless it is skipped; without the `eos_id` before the first."""
        return self._length

    def words(self, lookahead: int) -> Iterator[np.ndarray]:
        """Blocks of the stream, int32: an id plus one, 0 for what no n-gram holds and after the end.

        Each block ends in `lookahead` words that are the first of the next.
        """
        rest = np.array([self.eos_id + 1], dtype=np.int32)
        for ids in self._ids():
            words = ids + 1
            if self._unk_id is not None:
                words[ids == self._unk_id] = 0
            block = np.concatenate([rest, words])
            if len(block) > lookahead:
                yield block
                rest = block[len(block) - lookahead :] if lookahead else block[:0]
            else:
                rest = block
        yield np.concatenate([rest, np.zeros(lookahead, dtype=np.int32)])

    def _ids(self) -> Iterator[np.ndarray]:
        for start in range(0, self._num_tokens, BLOCK):
            ids = self._read(start, min(start + BLOCK, self._num_tokens)).astype(np.int32, copy=False)
            yield ids[ids != self._unk_id] if self._skips and self._unk_id is not None else ids

    def _count_words(self) -> np.ndarray:
        counts = np.zeros(self.vocab_size, dtype=np.int64)
        for ids in self._ids():
            counts += np.bincount(ids, minlength=self.vocab_size)
        self._length = int(counts.sum())
        if self._unk_id is not None:
            counts[self._unk_id] = 0
        return counts
