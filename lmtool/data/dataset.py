"""A dataset folder, read: ids of each split, memory-mapped, and what is known of the text behind them.

DATASET/
  dataset.json                     format version, tokenizer, sources with sha256, counts, sha256 of each file
  tokenizer/                       see `lmtool.data.tokenizer_folder`
  SPLIT-00000.npy …                ids in the smallest unsigned type, `eos_id` after each line
  SPLIT-document-ends.npy          int64, for each document the offset behind its last id
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.counts import Counts
from lmtool.data.tokenizer_folder import FOLDER, load_tokenizer, short
from lmtool.errors import DataError
from lmtool.records import read_record

if TYPE_CHECKING:
    from lmtool.api import Tokenizer
    from lmtool.registry import Registry

FORMAT = "lmtool-dataset"
FORMAT_VERSION = 1
RECORD = "dataset.json"
VERIFY_LIMIT = 1 << 28
"""Bytes of a split up to which its checksums are compared when it is first read."""


@dataclass(frozen=True)
class ArrayFile:
    """A one-dimensional `.npy` file and what it should hold."""

    path: Path
    dtype: str
    length: int
    sha256: str
    """Of the array's bytes."""

    def open(self) -> np.ndarray:
        """Memory-mapped, checked for type and length. Raises DataError if the file is missing or cut short."""
        try:
            array: np.ndarray = np.load(self.path, mmap_mode="r" if self.length else None, allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{self.path} is missing", hint=REPAIR) from None
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self.path} is damaged: {error}", hint=REPAIR) from None
        if array.dtype != np.dtype(self.dtype) or array.shape != (self.length,):
            found = f"{array.dtype} {list(array.shape)}"
            raise DataError(f"{self.path} is damaged: holds {found}, not {self.dtype} [{self.length}]", hint=REPAIR)
        return array

    def verify(self) -> None:
        """Compare the checksum; reads the whole file."""
        found = hashlib.sha256(np.ascontiguousarray(self.open()).data).hexdigest()
        if found != self.sha256:
            raise DataError(f"{self.path} is damaged: its sha256 is {short(found)}, not {short(self.sha256)}", REPAIR)


REPAIR = "run the same `lmtool tokenize` again with --force"


LARGE = 1 << 16
"""Ids that are read from the file at once instead of through its map, whose pages would stay in the process."""


def _slice(shard: np.ndarray, start: int, stop: int) -> np.ndarray:
    """`shard[start:stop]`. Raises DataError if its file is gone or was cut."""
    if not isinstance(shard, np.memmap) or stop - start < LARGE:
        return shard[start:stop]
    assert shard.filename
    try:
        ids = np.fromfile(shard.filename, shard.dtype, stop - start, offset=shard.offset + start * shard.itemsize)
    except OSError as error:
        raise DataError(f"cannot read {shard.filename}: {(error.strerror or str(error)).lower()}", REPAIR) from None
    if len(ids) < stop - start:
        raise DataError(f"{shard.filename} is damaged: it ends before id {stop}", REPAIR)
    return ids


class Split:
    """The ids of one part of a dataset: a single stream, each line ended by `eos_id`."""

    def __init__(self, name: str, counts: Counts, shards: list[ArrayFile], document_ends: ArrayFile) -> None:
        self.name = name
        self.counts = counts
        self._shards, self._document_ends = shards, document_ends

    @property
    def num_tokens(self) -> int:
        """Ids, the end of each line included."""
        return self.counts.tokens

    @property
    def num_lines(self) -> int:
        return self.counts.lines

    @property
    def num_documents(self) -> int:
        return self.counts.documents

    @property
    def num_words(self) -> int:
        """Whitespace-separated words of the text; line ends not included."""
        return self.counts.words

    @property
    def num_chars(self) -> int:
        """Code points, one for each line end included."""
        return self.counts.chars

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes, one for each line end included."""
        return self.counts.bytes

    @property
    def num_unknown(self) -> int:
        return self.counts.unknown

    @property
    def num_unknown_bytes(self) -> int:
        """UTF-8 bytes of the text of the unknown tokens."""
        return self.counts.unknown_bytes

    @property
    def size(self) -> int:
        """Bytes of the ids on disk."""
        return sum(file.length * np.dtype(file.dtype).itemsize for file in self._shards)

    @cached_property
    def _arrays(self) -> list[np.ndarray]:
        if self.size <= VERIFY_LIMIT:
            self.verify()
        return [file.open() for file in self._shards]

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum([0, *(file.length for file in self._shards)])

    def shards(self) -> list[np.ndarray]:
        """Memory-mapped ids [N] in an unsigned type, in order."""
        return list(self._arrays)

    def read(self, start: int, stop: int) -> np.ndarray:
        """A copy of `ids[start:stop]` as int32; offsets count over all shards and are clipped as in a slice."""
        start, stop = max(start, 0), min(stop, self.num_tokens)
        out = np.empty(max(stop - start, 0), np.int32)
        for shard, begin in zip(self._arrays, self._starts, strict=False):
            low, high = max(start, begin), min(stop, begin + len(shard))
            if low < high:
                out[low - start : high - start] = _slice(shard, int(low - begin), int(high - begin))
        return out

    @cached_property
    def document_ends(self) -> np.ndarray:
        """int64: for each document, the offset behind its last id."""
        return np.array(self._document_ends.open())

    def verify(self) -> None:
        """Compare all checksums. Raises DataError naming the damaged file."""
        for file in (*self._shards, self._document_ends):
            file.verify()


class Dataset:
    """A folder of ids made by one tokenizer. Open it with `Dataset.open`."""

    def __init__(self, path: Path, record: dict[str, Any], registry: Registry | None = None) -> None:
        self.path, self.record = path, record
        self._registry = registry

    @classmethod
    def open(cls, path: str | Path, registry: Registry | None = None) -> Dataset:
        """Read the description and check that every file is there with the right size.

        Args:
            path: The folder.
            registry: Where the tokenizer's plugin is looked up; all installed plugins by default.

        Raises:
            DataError: if it is not a dataset, was written by a newer version, or is damaged.
        """
        path = Path(path)
        dataset = cls(path, _read_record(path), registry)
        for name in dataset.split_names:
            for file in dataset._files(name):
                file.open()
        return dataset

    @property
    def fingerprint(self) -> str:
        """Of the tokenizer that made the ids."""
        return str(self.record["tokenizer"]["fingerprint"])

    @property
    def key(self) -> str:
        """Hash of everything that went in: sources, readers, tokenizer and their versions."""
        return str(self.record["key"])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        if self._registry is None:
            from lmtool.registry import Registry

            self._registry = Registry()
        tokenizer = load_tokenizer(self.path / FOLDER, self._registry)
        self.check_tokenizer(tokenizer.fingerprint, f"the tokenizer in {self.path / FOLDER}")
        return tokenizer

    @property
    def vocab_size(self) -> int:
        return int(self.record["tokenizer"]["vocab_size"])

    @property
    def eos_id(self) -> int:
        return int(self.record["tokenizer"]["eos_id"])

    @property
    def unk_id(self) -> int | None:
        value = self.record["tokenizer"]["unk_id"]
        return None if value is None else int(value)

    @property
    def split_names(self) -> tuple[str, ...]:
        return tuple(self.record["splits"])

    def split(self, name: str) -> Split:
        """One part. Raises DataError naming those that exist."""
        if name not in self.record["splits"]:
            names = ", ".join(self.split_names)
            raise DataError(f"no split '{name}' in {self.path}; it has {names}", f"`lmtool tokenize --{name} FILE …`")
        *shards, document_ends = self._files(name)
        return Split(name, Counts(**self.record["splits"][name]["counts"]), shards, document_ends)

    def check_tokenizer(self, fingerprint: str, owner: str) -> None:
        """Raise DataError unless the ids were made by the tokenizer with this fingerprint.

        Args:
            fingerprint: Of the tokenizer that is going to be used.
            owner: Whose it is, for the message: `the tokenizer of RUN`.
        """
        if fingerprint != self.fingerprint:
            raise DataError(
                f"ids in {self.path} were written with tokenizer {short(self.fingerprint)}, "
                f"but {owner} is {short(fingerprint)}",
                hint="tokenize the text again with that tokenizer: `lmtool tokenize --with RUN --test FILE -o DATASET`",
            )

    def verify(self, limit: int | None = None) -> None:
        """Compare the checksums of ids and tokenizer.

        Args:
            limit: Leave out splits with more bytes of ids than this; None for all.

        Raises:
            DataError: names the damaged file.
        """
        _ = self.tokenizer
        for name in self.split_names:
            split = self.split(name)
            if limit is None or split.size <= limit:
                split.verify()

    def _files(self, name: str) -> list[ArrayFile]:
        split = self.record["splits"][name]
        return [ArrayFile(self.path / file["file"], file["dtype"], file["length"], file["sha256"])
                for file in (*split["shards"], split["document_ends"])]  # fmt: skip


def _read_record(path: Path) -> dict[str, Any]:
    makes_one = "`lmtool tokenize --train FILE -o DATASET` makes one"
    return read_record(
        path / RECORD, "dataset", version=FORMAT_VERSION, check=_check_record, makes_one=makes_one, repair=REPAIR
    )


def _check_record(record: Any) -> None:
    _ = record["key"], record["tokenizer"]["fingerprint"]
    for name, split in record["splits"].items():
        _check_split(name, split)


def _check_split(name: str, split: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError if an entry is missing, or the figures do not go together."""
    tokens = sum(int(file["length"]) for file in split["shards"])
    if Counts(**split["counts"]).tokens != tokens:
        raise ValueError(f"{name} has {split['counts']['tokens']} tokens, and its shards {tokens}")
    _ = [(file["file"], file["dtype"], file["sha256"]) for file in (*split["shards"], split["document_ends"])]


__all__ = ["ArrayFile", "Dataset", "Split"]
