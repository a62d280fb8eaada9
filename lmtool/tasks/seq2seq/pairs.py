"""What is read of pairs of a document and its target."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lmtool.errors import DataError
from lmtool.tasks.classify.documents import Cutter

if TYPE_CHECKING:
    from lmtool.array_types import Stream
    from lmtool.data.dataset import Split
    from lmtool.tasks.seq2seq.config import Seq2SeqConfig

KEPT = 1 << 26
"""Ids that are kept in memory, at most: 256 MiB; those of larger data are read anew for each batch."""


def cutter_of(config: Seq2SeqConfig, eos_id: int) -> Cutter:
    """What is read of a document."""
    return Cutter(config.max_source_length, config.keep, config.line_ends, eos_id)


class Kept(NamedTuple):
    """Ids of many texts in one array: an array of each would take more memory than the few ids in it."""

    ids: Stream
    """int32 [N]."""
    ends: np.ndarray
    """int64 [D + 1], of the texts; 0 is the first."""

    @classmethod
    def empty(cls, lengths: np.ndarray) -> Kept:
        """Room for texts of these lengths."""
        ends = np.concatenate([[0], np.cumsum(lengths)])
        return cls(np.empty(int(ends[-1]), np.int32), ends)

    def of(self, number: int) -> Stream:
        """A view."""
        return self.ids[self.ends[number] : self.ends[number + 1]]


class Pairs:
    """The pairs of a split, as training reads them.

    Args:
        split: With targets.
        cutter: Decides what is read of a source.
        eos_id: Of the target's tokenizer: the end of a target.
        max_target_length: Ids of a target that are learned, without the end; a longer one has no end then.

    Raises:
        DataError: if the split has no targets, or no documents.
    """

    def __init__(self, split: Split, cutter: Cutter, eos_id: int, max_target_length: int) -> None:
        if not split.has_targets:
            hint = "`lmtool tokenize --target FIELD …` or data.target makes the dataset with them"
            raise DataError(f"the {split.name} split has no targets to learn from", hint)
        if not split.num_documents:
            raise DataError(f"the {split.name} split has no documents to learn from")
        self.split, self.cutter, self.eos_id, self.max_target_length = split, cutter, eos_id, max_target_length
        self.count = split.num_documents
        self.target_lengths = np.minimum(split.target_lengths + 1, max_target_length + 1)
        """int64 [D], the end included, or one more token in its place."""
        self.source_lengths = np.array([cutter.length(self._document(number)) for number in range(self.count)])
        """int64 [D]."""
        self._kept = self._keep() if self.source_lengths.sum() + self.target_lengths.sum() <= KEPT else None

    def source(self, number: int) -> Stream:
        """int32 [S], at least one."""
        return self._read(number)[0] if self._kept is None else self._kept[0].of(number)

    def target(self, number: int) -> Stream:
        """int32 [T], the end the last of them, unless it is cut off."""
        return self._read(number)[1] if self._kept is None else self._kept[1].of(number)

    def _keep(self) -> tuple[Kept, Kept]:
        kept = Kept.empty(self.source_lengths), Kept.empty(self.target_lengths)
        for number in range(self.count):
            for side, ids in zip(kept, self._read(number), strict=True):
                side.of(number)[:] = ids
        return kept

    def _read(self, number: int) -> tuple[Stream, Stream]:
        target = np.append(self.split.target(number), np.int32(self.eos_id))
        return self.cutter.windows(self._document(number))[0], target[: self.max_target_length + 1]

    def _document(self, number: int) -> Stream:
        starts, ends = self.split.document_starts, self.split.document_ends
        return self.split.read(int(starts[number]), int(ends[number]))


__all__ = ["Kept", "Pairs", "cutter_of"]
