"""The arrays of a dataset folder: one-dimensional `.npy` files, whose type, length and checksum are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.tokenizer_folder import short
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REPAIR = "run the same `lmtool tokenize` again with --force"
VERIFY_LIMIT = 1 << 28
"""Bytes of a split up to which its checksums are compared when it is first read."""
LARGE = 1 << 16
"""Ids that are read from the file at once instead of through its map, whose pages would stay in the process."""
READ_AHEAD = 1 << 18
"""Values that are read at once where all pieces are wanted."""


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


def open_divided(files: Mapping[str, ArrayFile], divided: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Arrays of which some hold the offsets behind the pieces of others; compared with their checksums if small.

    Args:
        files: By name.
        divided: By the name of each array of offsets the name of what it divides.

    Raises:
        DataError: names the damaged file.
    """
    if sum(file.size for file in files.values()) <= VERIFY_LIMIT:
        for file in files.values():
            file.verify()
    arrays = {name: file.open() for name, file in files.items()}
    for name, whole in divided.items():
        ends = arrays[name]
        if (int(ends[-1]) if len(ends) else 0) != len(arrays[whole]):
            raise DataError(f"{files[name].path} is damaged: it does not end where what it divides does", hint=REPAIR)
    return arrays


def check_parts(split: str, entry: Mapping[str, Any], types: Mapping[str, str], lengths: Mapping[str, int]) -> None:
    """Raise KeyError, TypeError or ValueError if an entry of `dataset.json` does not describe these files.

    Args:
        split: Its name, for the message.
        entry: Of the split.
        types: By the part of the files' names behind the split's.
        lengths: Of those whose length is known.
    """
    for part, dtype in types.items():
        file = entry[key_of(part)]
        _ = file["file"], file["sha256"], int(file["length"])
        if file["dtype"] != dtype:
            raise ValueError(f"{split} has {part} of type {file['dtype']}, not {dtype}")
    for part, length in lengths.items():
        if (found := int(entry[key_of(part)]["length"])) != length:
            raise ValueError(f"{split} has {found} {part}, not {length}")


def key_of(part: str) -> str:
    """What a file is called in `dataset.json`, by the part of its name behind the split's.

    >>> key_of("text-ends")
    'text_ends'
    """
    return part.replace("-", "_")


def pieces(read: Callable[[int, int], np.ndarray], ends: np.ndarray) -> Iterator[np.ndarray]:
    """An array cut at the offsets `ends`, in order; about `READ_AHEAD` values are read at once.

    Args:
        read: The values from one offset to another.
        ends: int64 [N], the offset behind each piece.
    """
    for values, cuts in blocks(read, ends):
        yield from np.split(values, cuts[:-1])


def blocks(read: Callable[[int, int], np.ndarray], ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `pieces`, but uncut: what is read at once, and the offsets in it behind each of its pieces."""
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    number = 0
    while number < len(ends):
        stop = max(number + 1, int(np.searchsorted(ends, starts[number] + READ_AHEAD, "right")))
        yield read(int(starts[number]), int(ends[stop - 1])), ends[number:stop] - starts[number]
        number = stop


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


__all__ = [
    "LARGE",
    "READ_AHEAD",
    "REPAIR",
    "VERIFY_LIMIT",
    "ArrayFile",
    "blocks",
    "check_parts",
    "key_of",
    "open_divided",
    "pieces",
    "read_slice",
]
