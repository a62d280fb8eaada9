"""A dataset folder, written: ids go to disk as they come, so memory does not depend on their number."""

from __future__ import annotations

import hashlib
import io
import json
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool import __version__
from lmtool.data.arrays import key_of
from lmtool.data.counts import Counts
from lmtool.data.dataset import FORMAT, FORMAT_VERSION, RECORD
from lmtool.data.documents import LABEL_PARTS, TEXT_PARTS
from lmtool.data.tokenizer_folder import FOLDER, save_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lmtool.api import Record, Tokenizer
    from lmtool.data.labels import LabelIds, Labels
    from lmtool.registry import Found

SHARD_TOKENS = 1 << 27
"""Ids in a full shard."""
FLUSH_BYTES = 1 << 20
"""Text of documents that is gathered before it is written."""


class ArrayWriter:
    """Writes one 1-D `.npy` file piece by piece; the header gets its length at the end."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype, self.length = path, dtype, 0
        self._hash = hashlib.sha256()
        self._file = path.open("wb")
        self._file.write(npy_header(dtype, 0))

    def write(self, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array, self.dtype).data
        self._file.write(data)
        self._hash.update(data)
        self.length += len(array)

    def close(self) -> dict[str, Any]:
        """Finish the file; returns its entry in `dataset.json`."""
        self._file.seek(0)
        self._file.write(npy_header(self.dtype, self.length))
        self._file.close()
        return {
            "file": self.path.name,
            "dtype": self.dtype.name,
            "length": self.length,
            "sha256": self._hash.hexdigest(),
        }

    def abandon(self) -> None:
        self._file.close()


def npy_header(dtype: np.dtype[Any], length: int) -> bytes:
    """The head of a 1-D `.npy` file, of the same size for any length: NumPy pads it and leaves room for digits."""
    buffer = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


class SplitWriter:
    """Writes the ids of one split."""

    def __init__(self, folder: Path, name: str, vocab_size: int, shard_tokens: int = SHARD_TOKENS) -> None:
        self._folder, self._name, self._shard_tokens = folder, name, shard_tokens
        self._dtype = smallest_type(vocab_size)
        self._done: list[dict[str, Any]] = []
        self._shard: ArrayWriter | None = None
        self._ends = ArrayWriter(folder / f"{name}-document-ends.npy", np.dtype(np.int64))
        self.counts = Counts()

    def write(self, ids: np.ndarray, counts: Counts, document_ends: np.ndarray) -> None:
        """Append a block of whole lines.

        Args:
            ids: [N], `eos_id` after each line.
            counts: What the block holds; its documents are counted here.
            document_ends: For each document that ends in the block, the offset behind its last id.
        """
        self._ends.write(document_ends.astype(np.int64) + self.counts.tokens)
        self.counts += replace(counts, documents=len(document_ends))
        while len(ids):
            shard = self._shard or self._open_shard()
            room = self._shard_tokens - shard.length
            shard.write(ids[:room])
            ids = ids[room:]
            if shard.length == self._shard_tokens:
                self._close_shard()

    def close(self, sources: list[dict[str, Any]]) -> dict[str, Any]:
        """Finish all files; returns the split's entry in `dataset.json`."""
        if self._shard or not self._done:
            self._shard = self._shard or self._open_shard()
            self._close_shard()
        counts = self.counts.to_json()
        return {"sources": sources, "counts": counts, "shards": self._done, "document_ends": self._ends.close()}

    def abandon(self) -> None:
        self._ends.abandon()
        if self._shard:
            self._shard.abandon()

    def _open_shard(self) -> ArrayWriter:
        self._shard = ArrayWriter(self._folder / f"{self._name}-{len(self._done):05d}.npy", self._dtype)
        return self._shard

    def _close_shard(self) -> None:
        assert self._shard is not None
        self._done.append(self._shard.close())
        self._shard = None


class DocumentWriter:
    """Writes text and labels of a split's documents, while their records pass on to be encoded.

    Text and ends go to disk as they come; only the labels' ids are held until the end, 4 bytes each, since what a label
    of the training text has for an id is known when all were seen.

    Args:
        folder: Of the dataset.
        name: Of the split.
        label_ids: Learns the labels if it does not know them; None to keep no labels.
    """

    def __init__(self, folder: Path, name: str, label_ids: LabelIds | None) -> None:
        self._label_ids = label_ids
        self._learns = label_ids is not None and label_ids.labels is None
        self._labels = array("i")
        parts = {**TEXT_PARTS, **(LABEL_PARTS if label_ids else {})}
        self._files = {
            part: ArrayWriter(folder / f"{name}-{part}.npy", np.dtype(dtype)) for part, dtype in parts.items()
        }
        self._text, self._ends = bytearray(), {part: array("q") for part in parts if part.endswith("ends")}
        self._text_length, self._inside = 0, False
        self.unlabelled = 0
        """Documents without a label."""

    def passing(self, records: Iterable[Record], source: str) -> Iterator[Record]:
        """The records of one source, unchanged.

        Raises:
            DataError: for a label that cannot be one, or that the training text lacks; names source and document.
        """
        number = 0
        for record in records:
            self._add_text(record.text)
            if record.last:
                number += 1
                self._end_document(record, f"document {number} of {source}")
            yield record

    def _add_text(self, text: str) -> None:
        data = (b"\n" if self._inside else b"") + text.encode()
        self._inside = True
        self._text += data
        self._text_length += len(data)
        if len(self._text) >= FLUSH_BYTES:
            self._flush()

    def _end_document(self, record: Record, where: str) -> None:
        if self._label_ids:
            ids = self._label_ids.ids(record.fields, where)
            self.unlabelled += not ids
            self._labels.extend(ids)
            self._ends["label-ends"].append(len(self._labels))
        self._ends["text-ends"].append(self._text_length)
        self._inside = False

    def _flush(self) -> None:
        self._files["text"].write(np.frombuffer(self._text, np.uint8))
        self._text = bytearray()
        for part, ends in self._ends.items():
            self._files[part].write(np.frombuffer(ends, np.int64))
            self._ends[part] = array("q")

    def close(self) -> dict[str, Any]:
        """Finish all files; returns what they add to the split's entry in `dataset.json`.

        Raises:
            DataError: if the training text has no labels.
        """
        self._flush()
        if self._label_ids:
            ids = np.frombuffer(self._labels, np.intc)
            self._files["labels"].write(self._label_ids.learned(ids) if self._learns else ids)
        return {key_of(part): file.close() for part, file in self._files.items()}

    def abandon(self) -> None:
        for file in self._files.values():
            file.abandon()


def smallest_type(vocab_size: int) -> np.dtype[Any]:
    """The smallest unsigned type that holds every id.

    >>> smallest_type(256).name, smallest_type(257).name, smallest_type(70_000).name
    ('uint8', 'uint16', 'uint32')
    """
    return np.min_scalar_type(max(vocab_size - 1, 0))


def write_record(
    folder: Path,
    tokenizer: Tokenizer,
    found: Found,
    settings: dict[str, Any],
    key: str,
    splits: dict[str, Any],
    labels: Labels | None = None,
    targets: dict[str, Any] | None = None,
) -> None:
    """Write the tokenizer, if that is not done yet, and, last, `dataset.json`: without it a folder is not a dataset."""
    if not (folder / FOLDER).is_dir():
        save_tokenizer(tokenizer, found, folder / FOLDER)
    kept = {"labels": labels.to_json() if labels else None, "targets": targets}
    described = {"key": key, "tokenizer": described_tokenizer(tokenizer, found, settings)}
    write_json(folder, {**described, **{name: one for name, one in kept.items() if one}, "splits": splits})


def described_tokenizer(tokenizer: Tokenizer, found: Found, settings: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer as it stands in `dataset.json`."""
    return {
        **found.record(),
        "settings": settings,
        "fingerprint": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "unk_id": tokenizer.unk_id,
        "unit": tokenizer.unit,
    }


def write_json(folder: Path, contents: dict[str, Any]) -> None:
    """Write `dataset.json`: what it says besides format and versions is given."""
    record = {"format": FORMAT, "version": FORMAT_VERSION, "lmtool": __version__, **contents}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    # A byte of a file's name that is not UTF-8 is written as \udc80 and so on, which JSON reads back.
    (folder / RECORD).write_bytes(text.encode("utf-8", "backslashreplace"))


__all__ = [
    "ArrayWriter",
    "DocumentWriter",
    "SplitWriter",
    "described_tokenizer",
    "smallest_type",
    "write_json",
    "write_record",
]
