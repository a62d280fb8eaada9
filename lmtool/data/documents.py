"""Text and labels of a split's documents, read.

The text lies in a dataset that was made with `data.label` or `data.target`, labels where it was with `data.label`.

SPLIT-labels.npy        int32 [L], ids of labels, document after document
SPLIT-label-ends.npy    int64 [D], for each document the offset behind its last label
SPLIT-text.npy          uint8, the UTF-8 of each document's text, lines joined by a line feed
SPLIT-text-ends.npy     int64 [D], for each document the offset behind its last byte
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.arrays import REPAIR, ArrayFile, key_of, open_divided, read_slice
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lmtool.data.labels import Labels

TEXT_PARTS = {"text": "uint8", "text-ends": "int64"}
LABEL_PARTS = {"labels": "int32", "label-ends": "int64"}
"""Files of a split by the part of their names behind the split's, and their types."""


@dataclass(frozen=True)
class Documents:
    """The text of a split's documents."""

    files: dict[str, ArrayFile]
    """By the part of their names behind the split's."""

    @classmethod
    def of(cls, folder: Path, entry: dict[str, Any]) -> Documents:
        """Of a split's entry in `dataset.json`."""
        return cls(_files(folder, entry, TEXT_PARTS))

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return open_divided(self.files, {"text-ends": "text"})

    @cached_property
    def _text_starts(self) -> np.ndarray:
        """int64 [D + 1]."""
        return np.concatenate([np.zeros(1, np.int64), self._arrays["text-ends"]])

    def text(self, number: int) -> str:
        """Of one document."""
        start, stop = self._text_starts[number : number + 2].tolist()
        return read_slice(self._arrays["text"], start, stop).tobytes().decode()


@dataclass(frozen=True)
class LabelledDocuments(Documents):
    """Labels and text of a split's documents."""

    labels: Labels

    @classmethod
    def labelled(cls, folder: Path, entry: dict[str, Any], labels: Labels) -> LabelledDocuments:
        """Of a split's entry in `dataset.json`."""
        return cls(_files(folder, entry, {**LABEL_PARTS, **TEXT_PARTS}), labels)

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = open_divided(self.files, {"label-ends": "labels", "text-ends": "text"})
        if len(arrays["labels"]) and int(arrays["labels"].max()) >= len(self.labels.names):
            raise DataError(f"{self.files['labels'].path} is damaged: it has more labels than have a name", hint=REPAIR)
        return arrays

    @cached_property
    def label_ends(self) -> np.ndarray:
        """int64 [D]."""
        return np.array(self._arrays["label-ends"])

    def labels_of(self, number: int) -> tuple[int, ...]:
        """The ids of a document's labels."""
        start = self.label_ends[number - 1] if number else 0
        return tuple(self._arrays["labels"][start : self.label_ends[number]].tolist())

    @cached_property
    def label_ids(self) -> np.ndarray:
        """int64 [D], the label of each document. Raises DataError naming the first one that has none or several."""
        counts = np.diff(self.label_ends, prepend=0)
        if len(wrong := np.flatnonzero(counts != 1)):
            path, count = self.files["labels"].path, int(counts[wrong[0]])
            what = f"document {wrong[0] + 1} of {path.parent} {path.stem.removesuffix('-labels')}"
            hint = f"leave the {len(wrong):,} such documents out of the text" if not count else None
            raise DataError(f"{what} has {f'{count} labels' if count else 'no label'}, and one is wanted", hint)
        return self._arrays["labels"].astype(np.int64)

    @cached_property
    def label_matrix(self) -> np.ndarray:
        """bool [D, C]."""
        matrix = np.zeros((len(self.label_ends), len(self.labels.names)), bool)
        rows = np.repeat(np.arange(len(self.label_ends)), np.diff(self.label_ends, prepend=0))
        matrix[rows, self._arrays["labels"]] = True
        return matrix


def _files(folder: Path, entry: dict[str, Any], parts: Iterable[str]) -> dict[str, ArrayFile]:
    return {part: ArrayFile.of(folder, entry[key_of(part)]) for part in parts}


__all__ = ["LABEL_PARTS", "TEXT_PARTS", "Documents", "LabelledDocuments"]
