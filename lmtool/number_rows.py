"""Rows of numbers as text: by a compiled loop where there are many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lmtool.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

DECIMALS = -1
"""Stands for six decimals."""
LIMITS = {DECIMALS: 1e12, 0: 1e18, 1: 1e99}
"""Numbers that the compiled loop can write are below: fixed decimals, whole ones, digits with an exponent."""
FEW = 500
"""Lines that need no compiled loop."""


def put_digits(number: Any, width: Any, out: Any, at: Any) -> Any:
    """A number from 0 on, with zeros in front up to a width; returns where it ends."""
    rest = number // 10
    size = 1
    while rest > 0:
        rest //= 10
        size += 1
    size = max(size, width)
    for i in range(size):
        out[at + size - 1 - i] = 48 + number % 10
        number //= 10
    return at + size


def put_general(digits: Any, size: Any, exponent: Any, out: Any, at: Any) -> Any:
    """So many digits, the first of a power of ten, as `%.{size}g` has them; returns where they end."""
    point = size
    while size > 1 and digits % 10 == 0:  # no zeros at the end of decimals
        digits //= 10
        size -= 1
    scientific = exponent < -4 or exponent >= point
    zeros = 0 if scientific else max(0, -exponent)  # before the first digit, one of them before the point
    before = 1 if scientific or exponent < 0 else exponent + 1  # characters before the point
    total = max(zeros + size, before)
    for i in range(total - 1, -1, -1):
        digit = 0
        if zeros <= i < zeros + size:
            digit = digits % 10
            digits //= 10
        out[at + i + (i >= before)] = 48 + digit
    end = at + total
    if total > before:
        out[at + before] = 46
        end += 1
    if scientific:
        out[end], out[end + 1] = 101, 45 if exponent < 0 else 43
        out[end + 2], out[end + 3] = 48 + abs(exponent) // 10, 48 + abs(exponent) % 10
        end += 4
    return end


@compiled("int64[:], int64[:], int64[:], int64, int64, uint8[:], int64[:], uint8[:] -> int64", put_digits, put_general)
def write_rows(
    numbers: Any, exponents: Any, sizes: Any, columns: Any, rows: Any, text: Any, ends: Any, out: Any
) -> Any:
    """Rows of numbers, and the text before each of them, into `out`; returns how many bytes they are.

    Args:
        numbers, exponents: Column by column; see `Column.size`.
        sizes: Of each column.
        columns, rows: How many.
        text, ends: What stands before each column's number, and where it ends.
        out: Characters.
    """
    at = 0
    for row in range(rows):
        for column in range(columns):
            for i in range(ends[column], ends[column + 1]):
                out[at] = text[i]
                at += 1
            number, size = numbers[column * rows + row], sizes[column]
            if number < 0:
                out[at] = 45
                at += 1
                number = -number
            if size > 0:
                at = put_general(number, size, exponents[column * rows + row], out, at)
            elif size == 0:
                at = put_digits(number, 1, out, at)
            else:
                at = put_digits(number // 1000000, 1, out, at)
                out[at] = 46
                at = put_digits(number % 1000000, 6, out, at + 1)
        out[at] = 10
        at += 1
    return at


class Column(NamedTuple):
    """Numbers, one a line, and how they are written."""

    before: str
    """What stands before each."""
    values: np.ndarray
    """[L]."""
    size: int = 0
    """Significant digits as of `%g`; 0 for whole numbers, `DECIMALS` for six decimals."""

    def format(self) -> str:
        """That of Python."""
        return "%d" if self.size == 0 else "%.6f" if self.size == DECIMALS else f"%.{self.size}g"

    def is_plain(self) -> bool:
        """Whether the compiled loop can write them all."""
        import numpy as np

        sizes, limit = np.abs(self.values), LIMITS[min(self.size, 1)]
        return bool(((sizes < limit) & ((sizes > 1 / limit) | (sizes == 0) | (self.size <= 0))).all())

    def digits(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [L] each: `size` digits as a number, and the power of ten of the first of them, if it matters."""
        import numpy as np

        if self.size <= 0:
            scaled = self.values if self.size == 0 else np.rint(self.values * 1e6)
            return scaled.astype(np.int64), np.zeros(len(scaled), np.int64)
        sizes = np.abs(self.values)
        exponents = np.floor(np.log10(sizes, where=sizes > 0, out=np.zeros(len(sizes))))
        shift = self.size - 1 - exponents
        # Powers up to 22 are exact, and so is what is multiplied or divided by them, but for one rounding.
        scaled = np.where(shift > 0, sizes * 10.0**shift, sizes / 10.0**-shift)
        digits = np.rint(scaled)
        lowest = 10.0 ** (self.size - 1)
        small, large = (digits < lowest) & (sizes > 0), digits >= 10 * lowest
        digits, exponents = np.where(small, digits * 10, digits), exponents - small
        digits, exponents = np.where(large, digits / 10, digits), exponents + large
        return np.copysign(digits, self.values).astype(np.int64), exponents.astype(np.int64)


def rows_of(columns: Sequence[Column], infinite: Callable[[float], str] = str) -> str:
    """Lines of numbers, each with its `\\n`.

    Args:
        columns: At least one.
        infinite: Spells what is no finite number.
    """
    import numpy as np

    rows = len(columns[0].values)
    if rows < FEW or not all(one.is_plain() for one in columns):
        return _one_by_one(columns, infinite)
    numbers, exponents = zip(*(one.digits() for one in columns), strict=True)
    before = [one.before.encode() for one in columns]
    ends = np.cumsum([0, *map(len, before)])
    text, sizes = np.frombuffer(b"".join(before), np.uint8), np.array([one.size for one in columns])
    out = np.empty(rows * (len(text) + 24 * len(columns) + 1), np.uint8)
    table = np.concatenate(numbers), np.concatenate(exponents), sizes, len(columns), rows
    written = write_rows(*table, text, ends, out)
    return out[:written].tobytes().decode()


def _one_by_one(columns: Sequence[Column], infinite: Callable[[float], str]) -> str:
    def shown(column: Column) -> Iterator[str]:
        form = column.format()
        for value in column.values.tolist():
            shown = form % _rounded(value, column) if math.isfinite(value) else infinite(value)
            yield column.before + shown

    return "".join(["".join([*row, "\n"]) for row in zip(*map(shown, columns), strict=True)])


def _rounded(value: float, column: Column) -> float:
    """What is rounded to zero has no sign, as in `write_rows`."""
    return round(value, 6) + 0.0 if column.size == DECIMALS else value + 0


__all__ = ["DECIMALS", "FEW", "Column", "rows_of"]
