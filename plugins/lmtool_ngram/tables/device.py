"""Looking an n-gram model up on a device: pure functions of JAX arrays, for use inside someone's compiled step.

    tables = DeviceTables.from_levels(model.levels)
    log_probs, matched = score(tables, ids, context)

They give what `lmtool_ngram.tables.lookup` gives, in float32. Nothing here is compiled by itself: `jax.jit`, `jax.vmap`
and `shard_map` are the caller's; the tables are a pytree, to be passed as an argument, not closed over, since a
compiler would take them for constants. An order may have fewer than 2^31 n-grams, as places are int32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jax import Array

    from lmtool_ngram.tables.trie import Level

MOST = (1 << 31) - 1
"""N-grams an order, at most."""
CHUNK = 1024
"""Continuations of each context that `next_log_probs` takes at once."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["words", "starts", "log_probs", "log_backoffs"],
    meta_fields=["passes"],
)
@dataclass(frozen=True)
class DeviceTables:
    """The tables of `lmtool_ngram.tables.trie.Level` on a device, order by order."""

    words: tuple[Array, ...]
    """uint16 or int32 [M]."""
    starts: tuple[Array, ...]
    """int32 [M of the order below + 1]."""
    log_probs: tuple[Array, ...]
    """float32 [M], nats."""
    log_backoffs: tuple[Array, ...]
    """float32 [M], nats; [1] at the highest order, never used."""
    passes: tuple[int, ...]
    """Halvings until one of the most continuations of a context is left."""

    @classmethod
    def from_levels(cls, levels: Sequence[Level]) -> DeviceTables:
        """Copy tables to the default device; codes become the numbers that they stand for.

        Raises:
            ValueError: if an order has 2^31 n-grams or more.
        """
        if (most := max(map(len, levels))) > MOST:
            raise ValueError(f"an order has {most:,} n-grams; fewer than 2^31 can be looked up on a device")
        sizes = [int(np.diff(level.starts).max(initial=1)) for level in levels]
        return cls(
            words=tuple(_filled(level.words) for level in levels),
            starts=tuple(jnp.asarray(level.starts.astype(np.int32)) for level in levels),
            log_probs=tuple(_filled(level.log_probs) for level in levels),
            log_backoffs=tuple(_filled(level.log_backoffs) for level in levels),
            passes=tuple((size - 1).bit_length() for size in sizes),
        )

    @property
    def order(self) -> int:
        return len(self.words)

    @property
    def vocab_size(self) -> int:
        return len(self.words[0])


def score(tables: DeviceTables, ids: Array, context: Array) -> tuple[Array, Array]:
    """Log-probability of each token, and the order of the n-gram that gave it.

    Args:
        tables: Of any order.
        ids: int [B, T], each below V.
        context: int [B, order-1], the words before, -1 where there are none; see `next_context`.

    Returns:
        float32 [B, T], nats, and int8 [B, T].
    """
    width = tables.order - 1
    rows = jnp.concatenate([context.astype(jnp.int32), ids.astype(jnp.int32)], axis=1)
    places, targets = rows, rows[:, width:]
    log_probs = tables.log_probs[0][targets]
    matched = jnp.ones(targets.shape, dtype=jnp.int8)
    for n in range(1, tables.order):
        before = places[:, :-1]
        backoffs = _at(tables.log_backoffs[n - 1], before, 0.0)[:, width - 1 :]
        found = _find(tables, n, before, rows[:, 1:])
        places = jnp.concatenate([jnp.full_like(rows[:, :1], -1), found], axis=1)
        here = places[:, width:]
        log_probs = jnp.where(here >= 0, _at(tables.log_probs[n], here, 0.0), log_probs + backoffs)
        matched = jnp.where(here >= 0, jnp.int8(n + 1), matched)
    return log_probs, matched


def next_log_probs(tables: DeviceTables, context: Array) -> Array:
    """float32 [B, V], nats: the distribution of the token after each context, int [B, order-1]."""
    context = context.astype(jnp.int32)
    batch, width = context.shape
    places = [_place(tables, context[:, width - n :]) for n in range(1, width + 1)]
    backoffs = [_at(tables.log_backoffs[n], place, 0.0) for n, place in enumerate(places)]
    above = [jnp.zeros(batch, jnp.float32)]  # of the contexts of n words and more, n from `width` + 1 down
    for one in reversed(backoffs):
        above.append(above[-1] + one)
    rows = tables.log_probs[0][None, :] + above.pop()[:, None]
    for n, place in enumerate(places, start=1):  # each order over those below
        rows = _put(tables, n, place, above.pop(), rows)
    return rows


def next_context(ids: Array, context: Array, eos_id: int) -> Array:
    """int32 [B, order-1]: the words after which a text goes on, back to the start of the line."""
    width = context.shape[1]
    rows = jnp.concatenate([context.astype(jnp.int32), ids.astype(jnp.int32)], axis=1)
    rows = rows[:, rows.shape[1] - width :]
    ends = (rows == eos_id).astype(jnp.int32)
    behind = jnp.cumsum(ends[:, ::-1], axis=1)[:, ::-1] - ends
    return jnp.where(behind > 0, -1, rows)


def _find(tables: DeviceTables, n: int, parents: Array, targets: Array) -> Array:
    """Places in order n + 1 of the n-grams with these first n words and last word, int32; -1 where there is none.

    Args:
        tables: Of a higher order.
        n: From 1.
        parents: int32, places in order n, or -1.
        targets: int32, words, or -1.
    """
    words, starts = tables.words[n], tables.starts[n]
    asked = jnp.maximum(parents, 0)
    low = starts[asked]
    size = starts[asked + 1] - low

    def halve(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        low, size = state
        half = size >> 1
        low = low + jnp.where(_at(words, low + half, 0).astype(jnp.int32) <= targets, half, 0)
        return low, size - half

    place, _ = jax.lax.fori_loop(0, tables.passes[n], halve, (low, size))
    hit = (parents >= 0) & (targets >= 0) & (size > 0) & (_at(words, place, 0).astype(jnp.int32) == targets)
    return jnp.where(hit, place, -1)


def _place(tables: DeviceTables, words: Array) -> Array:
    """int32 [B]: the place of each n-gram, [B, n]; -1 if there is none."""
    place = words[:, 0]
    for n in range(1, words.shape[1]):
        place = _find(tables, n, place, words[:, n])
    return place


def _put(tables: DeviceTables, n: int, places: Array, backoffs: Array, rows: Array) -> Array:
    """Set what continues each context of n words, `CHUNK` words at once, as long as any context has more."""
    asked = jnp.maximum(places, 0)
    low = jnp.where(places >= 0, tables.starts[n][asked], 0)
    high = jnp.where(places >= 0, tables.starts[n][asked + 1], 0)
    steps = jnp.arange(CHUNK, dtype=jnp.int32)[None, :]
    row = jnp.arange(rows.shape[0], dtype=jnp.int32)[:, None]

    def put(state: tuple[Array, Array]) -> tuple[Array, Array]:
        low, rows = state
        ngrams = low[:, None] + steps
        words = _at(tables.words[n], ngrams, 0).astype(jnp.int32)
        left = high - low  # not `ngrams < high`: near 2^31 places overflow
        words = jnp.where(steps < left[:, None], words, rows.shape[1])  # outside: dropped
        values = _at(tables.log_probs[n], ngrams, 0.0) + backoffs[:, None]
        return low + jnp.minimum(left, CHUNK), rows.at[row, words].set(values, mode="drop")

    return jax.lax.while_loop(lambda state: jnp.any(state[0] < high), put, (low, rows))[1]


def _at(array: Array, places: Array, otherwise: float) -> Array:
    """Elements; another number at places that are negative or behind the end."""
    return array.at[jnp.where(places >= 0, places, array.shape[0])].get(mode="fill", fill_value=otherwise)


def _filled(array: np.ndarray) -> Array:
    """On the device; one zero if it is empty."""
    return jnp.asarray(np.asarray(array) if len(array) else np.zeros(1, array.dtype))


__all__ = ["DeviceTables", "next_context", "next_log_probs", "score"]
