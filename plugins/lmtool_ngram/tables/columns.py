"""Arrays that are read piece by piece, wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


class Column(Protocol):
    """A one-dimensional array."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """A copy or a view of some elements."""
        ...


class ArrayColumn:
    """An array in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._array[start:stop]


class FileColumn:
    """A `.npy` file; never mapped, since the pages of mapped files count as memory.

    Args:
        file: Exists.
        facts: Its `dtype` and `length`.
    """

    def __init__(self, file: Path, facts: dict[str, Any]) -> None:
        self._file, self._dtype, self._length = file, np.dtype(facts["dtype"]), int(facts["length"])
        self._offset = file.stat().st_size - self._length * self._dtype.itemsize

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, stop: int) -> np.ndarray:
        offset = self._offset + start * self._dtype.itemsize
        return np.fromfile(self._file, self._dtype, stop - start, offset=offset)


__all__ = ["ArrayColumn", "Column", "FileColumn"]
