"""Targets of a split's documents, written as they come, so memory does not depend on their number."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.api import Record
from lmtool.data.arrays import key_of
from lmtool.data.counts import Counts
from lmtool.data.target_files import COUNTS, IDS, PARTS
from lmtool.data.writer import FLUSH_BYTES, ArrayWriter, smallest_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lmtool.api import Tokenizer


class TargetWriter:
    """Writes the files of `lmtool.data.target_files`: texts pass through on their way to be encoded, then ids follow.

    Args:
        folder: Of the dataset.
        name: Of the split.
        tokenizer: Of targets.
    """

    def __init__(self, folder: Path, name: str, tokenizer: Tokenizer) -> None:
        self._eos_id = tokenizer.eos_id
        types = {IDS: smallest_type(tokenizer.vocab_size), **{part: np.dtype(dtype) for part, dtype in PARTS.items()}}
        self._files = {part: ArrayWriter(folder / f"{name}-{part}.npy", dtype) for part, dtype in types.items()}
        self._text, self._ends = bytearray(), {"reference-ends": array("q"), "document-reference-ends": array("q")}
        self._text_length = self._references = 0
        self.counts = Counts()

    def passing(self, documents: Iterable[tuple[str, ...]]) -> Iterator[Record]:
        """The first target of each document, as a document of one line; all of them are written as text."""
        for texts in documents:
            for text in texts:
                data = text.encode()
                self._text += data
                self._text_length += len(data)
                self._ends["reference-ends"].append(self._text_length)
            self._references += len(texts)
            self._ends["document-reference-ends"].append(self._references)
            if len(self._text) >= FLUSH_BYTES:
                self._flush()
            yield Record(texts[0])

    def write(self, ids: np.ndarray, counts: Counts, ends: np.ndarray) -> None:
        """Append the ids of some first targets.

        Args:
            ids: [N], `eos_id` after each; it is not written.
            counts: What they hold.
            ends: int [M], the offset behind the `eos_id` of each.
        """
        numbers = np.arange(1, len(ends) + 1, dtype=np.int64)
        self._files["target-ends"].write(ends.astype(np.int64) - numbers + self._files[IDS].length)
        self._files[IDS].write(ids[ids != self._eos_id])
        self.counts += replace(counts, documents=len(ends))

    def _flush(self) -> None:
        self._files["references"].write(np.frombuffer(self._text, np.uint8))
        self._text = bytearray()
        for part, ends in self._ends.items():
            self._files[part].write(np.frombuffer(ends, np.int64))
            self._ends[part] = array("q")

    def close(self) -> dict[str, Any]:
        """Finish all files; returns what they add to the split's entry in `dataset.json`."""
        self._flush()
        files = {key_of(part): file.close() for part, file in self._files.items()}
        return {COUNTS: self.counts.to_json(), **files}

    def abandon(self) -> None:
        for file in self._files.values():
            file.abandon()


__all__ = ["TargetWriter"]
