"""What a network reads of a document: its ids, at most so many at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lmtool.array_types import Stream
    from lmtool.tasks.classify.config import ClassifyConfig


@dataclass(frozen=True)
class Cutter:
    """Cuts documents to what a network reads of them: windows of 1 to `max_length` ids.

    A document without ids is read as a single end of a line.
    """

    max_length: int
    keep: str
    """`head`, `tail`, `both` (half of each) or `windows`, each of which begins half a window after the one before."""
    line_ends: bool
    eos_id: int

    @classmethod
    def of(cls, config: ClassifyConfig, eos_id: int) -> Cutter:
        return cls(config.max_length, config.keep, config.line_ends, eos_id)

    def within(self, width: int) -> Cutter:
        """The same for batches of this width: what an augmentation made longer than its batch is wide is cut, too."""
        return self if self.max_length <= width else replace(self, max_length=width)

    def windows(self, ids: Stream) -> list[Stream]:
        """All that is read: one piece, but for `keep = "windows"`."""
        ids = self._readable(ids)
        if self.keep != "windows":
            return [self._cut(ids)]
        return [ids[start : start + self.max_length] for start in self._starts(len(ids))]

    def window(self, ids: Stream, rng: np.random.Generator) -> Stream:
        """What one pass of training reads: one of the windows, drawn at random."""
        ids = self._readable(ids)
        if self.keep != "windows":
            return self._cut(ids)
        starts = self._starts(len(ids))
        start = starts[int(rng.integers(len(starts)))] if len(starts) > 1 else 0
        return ids[start : start + self.max_length]

    def length(self, ids: Stream) -> int:
        """Of the longest window."""
        return min(len(self._readable(ids)), self.max_length)

    def places(self, ids: Stream) -> np.ndarray:
        """Which ids of a document its window holds, int [S]; the first of one that has nothing to read."""
        places = np.arange(len(ids)) if self.line_ends else np.flatnonzero(ids != self.eos_id)
        read: np.ndarray = self._cut(places if len(places) else np.zeros(1, np.int64))
        return read

    def _readable(self, ids: Stream) -> Stream:
        ids = ids if self.line_ends else ids[ids != self.eos_id]
        return ids if len(ids) else np.array([self.eos_id], np.int32)

    def _cut(self, ids: Stream) -> Stream:
        if len(ids) <= self.max_length or self.keep == "head":
            return ids[: self.max_length]
        if self.keep == "tail":
            return ids[-self.max_length :]
        head = -(-self.max_length // 2)
        return np.concatenate([ids[:head], ids[len(ids) - (self.max_length - head) :]])

    def _starts(self, length: int) -> list[int]:
        """Of windows that cover the document; the last one ends where it does, so that none is short."""
        last = max(0, length - self.max_length)
        return [*range(0, last, max(1, self.max_length // 2)), last]


__all__ = ["Cutter"]
