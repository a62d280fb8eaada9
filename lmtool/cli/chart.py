"""A curve in a terminal, of dots two to a column and four to a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EMPTY = 0x2800
"""The first of Unicode's Braille patterns; a bit each for its dots."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""By row and column."""


def curve(ys: Sequence[float], *, width: int, height: int, mark: int | None = None) -> list[str]:
    """Lines of text that show values at even distances, with the largest and the smallest at the left.

    Args:
        ys: At least two finite values.
        width: Columns in all, at least 20.
        height: Lines.
        mark: Index of a value whose place is shown by a vertical line.

    >>> print(*curve([0.0, 1.0, 2.0, 3.0], width=20, height=2), sep="\\n")
    3.000 ┤⠀⠀⠀⠀⠀⠀⢀⣀⡠⠤⠒⠒⠉
    0.000 ┤⣀⠤⠤⠒⠊⠉⠁⠀⠀⠀⠀⠀⠀
    """
    low, high = min(ys), max(ys)
    names = [f"{value:.3f}" for value in (high, low)]
    margin = max(map(len, names))
    columns = width - margin - 2
    cells = [[_EMPTY] * columns for _ in range(height)]
    before: int | None = None
    for x in range(2 * columns):
        at = x * (len(ys) - 1) / (2 * columns - 1)
        left = min(int(at), len(ys) - 2)
        y = ys[left] + (at - left) * (ys[left + 1] - ys[left])
        row = round((high - y) / ((high - low) or 1.0) * (4 * height - 1))
        before = row if before is None else before
        for one in {row, *range(min(row, before) + 1, max(row, before))}:  # a steep part is a line, too
            cells[one // 4][x // 2] |= _DOTS[one % 4][x % 2]
        before = row
    lines = ["".join(map(chr, line)) for line in cells]
    if mark is not None:
        at = round(mark * (columns - 1) / (len(ys) - 1))
        lines = [line[:at] + ("│" if line[at] == chr(_EMPTY) else line[at]) + line[at + 1 :] for line in lines]
    labels = {0: names[0], height - 1: names[1]}
    return [f"{labels.get(number, ''):>{margin}} ┤{line}" for number, line in enumerate(lines)]


__all__ = ["curve"]
