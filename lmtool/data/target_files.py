"""Targets of a split's documents, read; they lie in a dataset that was made with `data.target`.

SPLIT-targets.npy                    ids of each document's first target, in the smallest unsigned type, without the end
SPLIT-target-ends.npy                int64 [D], for each document the offset behind its last id
SPLIT-references.npy                 uint8, the UTF-8 of all targets, R of them, document after document
SPLIT-reference-ends.npy             int64 [R], for each target the offset behind its last byte
SPLIT-document-reference-ends.npy    int64 [D], for each document the number of targets up to its last one
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.arrays import ArrayFile, check_parts, key_of, open_divided, pieces, read_slice
from lmtool.data.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PARTS = {
    "target-ends": "int64",
    "references": "uint8",
    "reference-ends": "int64",
    "document-reference-ends": "int64",
}
"""Files of a split besides the ids, by the part of their names behind the split's, and their types."""
IDS = "targets"
COUNTS = "target_counts"
"""What the figures are called in `dataset.json`."""


@dataclass(frozen=True)
class TargetFiles:
    """What a split's documents are to be answered with."""

    counts: Counts
    """Of the first targets."""
    files: dict[str, ArrayFile]
    """By the part of their names behind the split's."""

    @classmethod
    def of(cls, folder: Path, entry: Mapping[str, Any]) -> TargetFiles:
        """Of a split's entry in `dataset.json`."""
        files = {part: ArrayFile.of(folder, entry[key_of(part)]) for part in (IDS, *PARTS)}
        return cls(Counts(**entry[COUNTS]), files)

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        divided = {"target-ends": IDS, "reference-ends": "references", "document-reference-ends": "reference-ends"}
        return open_divided(self.files, divided)

    @cached_property
    def _starts(self) -> dict[str, np.ndarray]:
        """int64 [N + 1]: the offset of each piece, and that behind the last."""
        zero = np.zeros(1, np.int64)
        return {name: np.concatenate([zero, values]) for name, values in self._arrays.items() if name.endswith("ends")}

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [D]: ids of each first target, without the end."""
        return np.diff(self._starts["target-ends"])

    def _read(self, start: int, stop: int) -> np.ndarray:
        return read_slice(self._arrays[IDS], start, stop).astype(np.int32)

    def target(self, number: int) -> np.ndarray:
        """int32 [L]: ids of a document's first target, without the end."""
        start, stop = self._starts["target-ends"][number : number + 2].tolist()
        return self._read(start, stop)

    def targets(self) -> Iterator[np.ndarray]:
        """The first target of each document, in order; some are read ahead."""
        return pieces(self._read, self._starts["target-ends"][1:])

    def references(self, number: int) -> tuple[str, ...]:
        """All targets of a document, as text."""
        first, last = self._starts["document-reference-ends"][number : number + 2].tolist()
        bounds = self._starts["reference-ends"][first : last + 1]
        data = read_slice(self._arrays["references"], int(bounds[0]), int(bounds[-1])).tobytes()
        offsets = (bounds - bounds[0]).tolist()
        return tuple(data[start:stop].decode() for start, stop in pairwise(offsets))


def check_target_files(split: str, entry: Mapping[str, Any], documents: int) -> None:
    """Raise KeyError, TypeError or ValueError if an entry of `dataset.json` does not describe targets.

    Args:
        split: Its name, for the message.
        entry: Of the split.
        documents: How many it has.
    """
    counts = Counts(**entry[COUNTS])
    lengths = {IDS: counts.tokens - documents, "target-ends": documents, "document-reference-ends": documents}
    check_parts(split, entry, {**PARTS, IDS: np.dtype(entry[IDS]["dtype"]).name}, lengths)


__all__ = ["COUNTS", "IDS", "PARTS", "TargetFiles", "check_target_files"]
