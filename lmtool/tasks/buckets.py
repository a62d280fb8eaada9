"""Lengths to widths: which few shapes batches have, so that little of them is padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = 8
"""Widths are multiples of it."""
MOST = 16
"""Widths, each of which is compiled."""
FINE = 1024
"""Widths that are chosen from: time and memory grow with the square of their number. Of documents with more than
`FINE` units, widths are multiples of a multiple of the unit."""


def choose_widths(lengths: np.ndarray, max_padding: float, *, unit: int = UNIT, most: int = MOST) -> tuple[int, ...]:
    """As few widths as keep padding within a bound, and the best of so many.

    Each document is padded to the smallest width that holds it. For each number of widths, dynamic programming finds
    those with the least padding in all, exactly, over the multiples of a unit, or of a multiple of it (`FINE`).

    Args:
        lengths: int [D], at least 1 each.
        max_padding: Share of all positions that may be padding. Where even the most widths have more, they are taken:
            short documents are padded to the unit in any case.
        unit: Widths are multiples of it.
        most: Widths, at most.

    Returns:
        Ascending; the last one holds the longest document.
    """
    unit *= -(-int(lengths.max()) // (unit * FINE))
    units = -(-np.asarray(lengths, np.int64) // unit)
    counts = np.bincount(units)
    best, previous = _single(counts), []
    candidates = []
    for number in range(1, min(most, int((counts > 0).sum())) + 1):
        if number > 1:
            best, came_from = _one_more(best, counts)
            previous.append(came_from)
        candidates.append(_trace(previous, len(counts) - 1))
        positions = int(best[-1]) * unit
        if 1 - lengths.sum() / positions <= max_padding:
            break
    return tuple(width * unit for width in candidates[-1])


def _single(counts: np.ndarray) -> np.ndarray:
    """Positions, in units, if the documents of up to w units all have the width w: int [W + 1]."""
    return np.cumsum(counts) * np.arange(len(counts))


def _one_more(best: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`best` for one width more, and the last width but one that gives it: int [W + 1] each."""
    documents = np.cumsum(counts)
    widths = np.arange(len(counts))
    # [w, v]: up to v units in the widths before, from there to w in this one
    total = best[None, :] + (documents[:, None] - documents[None, :]) * widths[:, None]
    total = np.where(widths[None, :] < widths[:, None], total, np.iinfo(np.int64).max)
    total[0, 0] = 0
    return total.min(axis=1), total.argmin(axis=1)


def _trace(previous: list[np.ndarray], last: int) -> list[int]:
    widths = [last]
    for came_from in reversed(previous):
        widths.append(int(came_from[widths[-1]]))
    return sorted(width for width in set(widths) if width > 0)


def assign(lengths: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """The bucket of each document, int [D]: the first width that holds it, the last for longer ones."""
    return np.minimum(np.searchsorted(widths, lengths), len(widths) - 1)


def epoch_plan(members: Sequence[np.ndarray], rows: Sequence[int], seed: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    """The bucket of each batch of an epoch, and who is in it: a pure function of its arguments.

    Each bucket is shuffled and cut into batches, the last of which may lack some, and the batches are shuffled.

    Args:
        members: int [D], of each bucket.
        rows: Of a batch of each bucket, at most.
        seed: The run's, and the epoch.
    """
    rng = np.random.default_rng(seed)
    plan = []
    for bucket, (numbers, size) in enumerate(zip(members, rows, strict=True)):
        order = rng.permutation(numbers)
        plan += [(bucket, order[start : start + size]) for start in range(0, len(order), size)]
    return [plan[place] for place in rng.permutation(len(plan))]


def grouped(keys: Sequence[Any]) -> list[tuple[Any, list[int]]]:
    """Places of equal keys, by key in ascending order."""
    found: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return sorted(found.items())


__all__ = ["MOST", "UNIT", "assign", "choose_widths", "epoch_plan", "grouped"]
