"""Arrays on disk that are written and read piece by piece and never mapped, so that they take no memory.

A finished one is an ordinary `.npy` file.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.writer import npy_header
from lmtool.files import explain_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

PIECE = 1 << 16
"""Elements that are held at once where nothing else decides."""


class Spool:
    """A one-dimensional array in a file. Pieces may be read by several threads, and be written over.

    Args:
        file: Is made anew.
        dtype: Of the elements.

    Raises:
        DataError: here and when writing, if the disk does not take it.
    """

    def __init__(self, file: Path, dtype: Any) -> None:
        self.file, self.dtype = file, np.dtype(dtype)
        self._length = 0
        with explain_os_errors(file):
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            self._offset = self._write_header()

    def __len__(self) -> int:
        return self._length

    def append(self, array: np.ndarray) -> None:
        """Add elements at the end; converted to the type of the array."""
        self.write(self._length, array)
        self._length += len(array)

    def write(self, start: int, array: np.ndarray) -> None:
        """Put elements in the place of those from `start` on."""
        left = np.ascontiguousarray(array, dtype=self.dtype).data.cast("B")
        position = self._offset + start * self.dtype.itemsize
        with explain_os_errors(self.file):
            while left:
                written = os.pwrite(self._handle, left, position)
                left, position = left[written:], position + written

    def read(self, start: int, stop: int) -> np.ndarray:
        """A copy of some elements."""
        array = np.empty(stop - start, dtype=self.dtype)
        left = array.data.cast("B")
        position = self._offset + start * self.dtype.itemsize
        while left:
            if not (taken := os.preadv(self._handle, [left], position)):
                raise EOFError(f"{self.file} ends before element {stop}")
            left, position = left[taken:], position + taken
        return array

    def pieces(self, size: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """All elements, `PIECE` at once where nothing else is said, and where each piece begins."""
        size = size or PIECE
        for start in range(0, len(self), size):
            yield start, self.read(start, min(start + size, len(self)))

    def close(self) -> None:
        """Finish the file. Nothing can be read or written any more."""
        if self._handle >= 0:
            with explain_os_errors(self.file):
                self._write_header()
            os.close(self._handle)
            self._handle = -1

    def discard(self) -> None:
        """Delete the file and give its space back; nothing more can be done with it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            self.file.unlink(missing_ok=True)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write_header(self) -> int:
        """The header of the `.npy` format; its size does not depend on the length. Returns that size."""
        return os.pwrite(self._handle, npy_header(self.dtype, self._length), 0)


class Scratch:
    """A new folder of spools, closed and removed together at the end of a `with` block.

    Raises:
        DataError: if it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spools: list[Spool] = []
        with explain_os_errors(folder):
            folder.mkdir()

    def spool(self, name: str, dtype: Any) -> Spool:
        """A new one; it may be removed earlier."""
        self._spools.append(Spool(self.folder / name, dtype))
        return self._spools[-1]

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for spool in self._spools:
            spool.discard()
        shutil.rmtree(self.folder, ignore_errors=True)


__all__ = ["PIECE", "Scratch", "Spool"]
