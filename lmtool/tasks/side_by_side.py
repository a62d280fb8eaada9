"""Batches of documents through a trained network, several at once where that is faster."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jax

from lmtool.data.encoding import MOST_THREADS, available_cores

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
    at_once = most_at_once()
    waiting: deque[tuple[Any, Future[Any]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for first, *others in batches:
                waiting.append((first, pool.submit(function, *others)))
                if len(waiting) > AHEAD * at_once:
                    yield _done(waiting)
            while waiting:
                yield _done(waiting)
        finally:  # whoever stops, by a signal say, does not wait for what nobody will read
            for _, future in waiting:
                future.cancel()


def _done(waiting: deque[tuple[Any, Future[Any]]]) -> tuple[Any, Any]:
    first, future = waiting.popleft()
    return first, future.result()


__all__ = ["most_at_once", "side_by_side"]
