"""The arrays of a dataset folder: one-dimensional `.npy` files, whose type, length and checksum are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmtool.data.tokenizer_folder import short
from lmtool.errors import DataError

REPAIR = "run the same `lmtool tokenize` again with --force"
VERIFY_LIMIT = 1 << 28
"""Bytes of a split up to which its checksums are compared when it is first read."""
LARGE = 1 << 16
"""Ids that are read from the file at once instead of through its map, whose pages would stay in the process."""


@dataclass(frozen=True)
class ArrayFile:
    """A one-dimensional `.npy` file and what it should hold."""

    path: Path
    dtype: str
    length: int
    sha256: str
    """Of the array's bytes."""

    @classmethod
    def of(cls, folder: Path, entry: dict[str, Any]) -> ArrayFile:
        """The file of an entry in `dataset.json`."""
        return cls(folder / entry["file"], entry["dtype"], int(entry["length"]), entry["sha256"])

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return self.length * np.dtype(self.dtype).itemsize

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


def read_slice(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """`array[start:stop]`. Raises DataError if its file is gone or was cut."""
    if not isinstance(array, np.memmap) or stop - start < LARGE:
        return array[start:stop]
    assert array.filename
    try:
        values = np.fromfile(array.filename, array.dtype, stop - start, offset=array.offset + start * array.itemsize)
    except OSError as error:
        raise DataError(f"cannot read {array.filename}: {(error.strerror or str(error)).lower()}", REPAIR) from None
    if len(values) < stop - start:
        raise DataError(f"{array.filename} is damaged: it ends before id {stop}", REPAIR)
    return values


__all__ = ["LARGE", "REPAIR", "VERIFY_LIMIT", "ArrayFile", "read_slice"]
