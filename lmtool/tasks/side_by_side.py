"""Batches of documents through a trained network, several at once where that is faster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jax

from lmtool.data.encoding import MOST_THREADS, available_cores, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


AHEAD = 2
"""Batches that wait for each one that is computed."""


def most_at_once() -> int:
    """How many batches are computed at once."""
    return min(MOST_THREADS, available_cores()) if jax.default_backend() == "cpu" else 1


def side_by_side(function: Callable[..., Any], batches: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
    """The first entry of each batch, and the function of the others.

    A CPU computes some batches at once: a recurrent network's steps are too small to share among cores.
    """

    def computed(first: Any, *others: Any) -> tuple[Any, Any]:
        return first, function(*others)

    at_once = most_at_once()
    with ThreadPoolExecutor(at_once) as pool:
        yield from in_order(lambda batch: pool.submit(computed, *batch), iter(batches), AHEAD * at_once)


__all__ = ["most_at_once", "side_by_side"]
