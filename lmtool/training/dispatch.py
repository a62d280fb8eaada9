"""What goes to the device at once: how many steps, and their batches, which a thread of its own makes ahead of time."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 2
"""Dispatches whose batches are made before they are asked for."""


class Dispatch(NamedTuple):
    """Steps that are started together."""

    first: int
    """Steps taken before it."""
    num_steps: int


def dispatches(start: int, end: int, *, most: int, stops: Sequence[int]) -> Iterator[Dispatch]:
    """The dispatches that lead from one step to another.

    Args:
        start: Steps taken already.
        end: Steps taken in all.
        most: Steps in one dispatch.
        stops: None goes past a multiple of one of these, since the host has work to do there.

    >>> [tuple(one) for one in dispatches(3, 20, most=4, stops=[10])]
    [(3, 4), (7, 3), (10, 4), (14, 4), (18, 2)]
    """
    while start < end:
        count = min(most, end - start, *(every - start % every for every in stops))
        yield Dispatch(start, count)
        start += count


def several_steps(step: Callable[[Any, Any], tuple[Any, Any]], most: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`(state, (batches, count, fixed)) -> (state, metrics)`: the first `count` of `most` stacked batches in one
    dispatch, each with `fixed`, which is what all batches hold besides.

    How steps are parted into dispatches changes no bit of the result: it is one compiled body whose number of turns is
    an argument. So a run that was stopped anywhere goes on as it would have.

    Args:
        step: Traceable, `(state, batch) -> (state, metrics)`.
        most: Length of the first axis of `batches` and of each of the metrics; entries after `count` mean nothing.
    """

    def steps(state: Any, work: tuple[Any, jax.Array, Any]) -> tuple[Any, Any]:
        batches, count, fixed = work
        form = jax.eval_shape(step, state, {**_entry(batches, 0), **fixed})[1]
        empty = jax.tree.map(lambda one: jnp.zeros((most, *one.shape), one.dtype), form)

        def turn(number: jax.Array, before: tuple[Any, Any]) -> tuple[Any, Any]:
            state, found = step(before[0], {**_entry(batches, number), **fixed})
            return state, jax.tree.map(lambda all_, one: all_.at[number].set(one), before[1], found)

        result: tuple[Any, Any] = jax.lax.fori_loop(0, count, turn, (state, empty))
        return result

    return jax.jit(steps, donate_argnames="state")


def _entry(batches: Any, number: Any) -> Any:
    return jax.tree.map(lambda array: jax.lax.dynamic_index_in_dim(array, number, keepdims=False), batches)


def stacked(batches: list[Mapping[str, np.ndarray]], most: int) -> dict[str, np.ndarray]:
    """Arrays [most, B, …] of batches [B, …]; where there are too few, the last is repeated."""
    padded = batches + batches[-1:] * (most - len(batches))
    return {name: np.stack([one[name] for one in padded]) for name in batches[0]}


@contextlib.contextmanager
def made_ahead(
    make: Callable[[Item], Made], items: Iterable[Item], *, ahead: int = AHEAD
) -> Generator[Iterator[Made], None, None]:
    """`map(make, items)` by a thread that is at most `ahead` of its reader, and is gone when the `with` block ends.

    An exception of `make` is raised where its result is asked for.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="lmtool-input") as thread:
        futures = deque(thread.submit(make, item) for item in islice(remaining, ahead))

        def results() -> Iterator[Made]:
            while futures:
                made = futures.popleft().result()
                futures.extend(thread.submit(make, item) for item in islice(remaining, 1))
                yield made

        try:
            yield results()
        finally:
            thread.shutdown(cancel_futures=True)


__all__ = ["Dispatch", "dispatches", "made_ahead", "several_steps", "stacked"]
