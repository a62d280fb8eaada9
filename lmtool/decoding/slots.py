"""Documents take turns: a search works on a few at once, and one that is done makes way for the next.

Answers have all lengths, so that a batch that waits for its longest one computes much that nobody needs. Here the next
document begins as soon as some have ended, in arrays whose shapes stay the same: what is computed of a document
depends neither on those beside it nor on which slot it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from lmtool.decoding.steps import where

if TYPE_CHECKING:
    from lmtool.decoding.constraints import Prefixes
    from lmtool.decoding.result import Answers

P = TypeVar("P")

PATIENCE = 8
"""One in so many slots must be free before others are filled: to fill some takes as long as to fill all."""


class Documents(NamedTuple):
    """What a search is told of B documents: a pytree of arrays [B, …]."""

    rows: jax.Array
    """bool; False for padding: no document, and its answers mean nothing."""
    memory: Any
    """See `Step`."""
    state: Any
    """Before the first token, once for each document."""
    prefixes: Prefixes | None
    source_mask: jax.Array | None
    """bool [B, S]."""
    numbers: jax.Array
    """int32, of samples."""


class Search(Protocol[P]):
    """A search whose progress is a pytree of arrays [B, …], a row for each document."""

    def first(self, documents: Documents) -> P:
        """Before the first step."""
        ...

    def advance(self, documents: Documents, progress: P) -> P:
        """One step; it does not change what the answers to documents that are done will be."""
        ...

    def is_done(self, progress: P) -> jax.Array:
        """bool [B]; True where there is no document. The greatest length is the last step of all."""
        ...

    def answers(self, documents: Documents, progress: P) -> Answers:
        """Of documents that are done."""
        ...


class Turn(NamedTuple):
    """Between two fillings of the R slots."""

    at: jax.Array
    """int32 [R]: which document has each slot; B or more is none."""
    is_new: jax.Array
    """bool [R]: not begun."""
    following: jax.Array
    """int32 []: the next document that waits."""
    progress: Any
    """Leaves [R, …]."""
    found: Answers
    """Of all B documents; zeros where they are not done."""


def search_all(search: Search[Any], documents: Documents, slots: int) -> Answers:
    """The answers to all documents, so many of them at once."""
    if slots < 1:
        raise ValueError(f"`slots` (={slots}) must be at least 1")
    count = documents.rows.shape[0]
    if count <= slots:
        return search.answers(documents, _run(search, documents, search.first(documents), 0, count))

    # Padding that comes last is not waited for.
    end = jnp.max(jnp.where(documents.rows, jnp.arange(1, count + 1, dtype=jnp.int32), 0))

    def goes_on(turn: Turn) -> jax.Array:
        return jnp.any(turn.at < end)

    def take_turn(turn: Turn) -> Turn:
        shown = _shown(documents, turn.at)
        progress = where(turn.is_new, search.first(shown), turn.progress)
        patience = jnp.where(turn.following < end, max(1, slots // PATIENCE), slots)
        progress = _run(search, shown, progress, slots - patience, slots)
        is_free = search.is_done(progress)
        places = jnp.where(is_free, turn.at, count)
        found = jax.tree.map(
            lambda all_, new: all_.at[places].set(new, mode="drop"), turn.found, search.answers(shown, progress)
        )
        at = jnp.where(is_free, turn.following + jnp.cumsum(is_free, dtype=jnp.int32) - 1, turn.at)
        return Turn(at, is_free, turn.following + jnp.sum(is_free, dtype=jnp.int32), progress, found)

    at = jnp.arange(slots, dtype=jnp.int32)
    shown = _shown(documents, at)
    progress = search.first(shown)
    shapes = jax.eval_shape(search.answers, shown, progress)
    found = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape[1:]), leaf.dtype), shapes)
    start = Turn(at, jnp.zeros(slots, bool), jnp.int32(slots), progress, found)
    return jax.lax.while_loop(goes_on, take_turn, start).found


def _run(search: Search[P], documents: Documents, progress: P, floor: jax.Array | int, slots: int) -> P:
    """Advance while more than `floor` of the slots are at work."""

    def goes_on(progress: P) -> jax.Array:
        at_work: jax.Array = slots - jnp.sum(search.is_done(progress), dtype=jnp.int32) > floor
        return at_work

    last: P = jax.lax.while_loop(goes_on, lambda progress: search.advance(documents, progress), progress)
    return last


def _shown(documents: Documents, at: jax.Array) -> Documents:
    """Those that have the slots."""
    count = documents.rows.shape[0]
    shown: Documents = jax.tree.map(lambda leaf: leaf.at[at].get(mode="clip"), documents)
    return shown._replace(rows=shown.rows & (at < count))


__all__ = ["PATIENCE", "Documents", "Search", "search_all"]
