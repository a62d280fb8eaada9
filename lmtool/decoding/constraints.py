"""What an answer may not be, or must begin with: changes to the log-probabilities of the next token.

Whatever is forbidden, something is left: an answer that nothing may follow ends, even before `min_length`; and a forced
token, or an end that comes so, has a log-probability of at least `LEAST`, even if the model holds it to be impossible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from lmtool.decoding.steps import LEAST

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int


class Prefixes(NamedTuple):
    """What the answers to B documents begin with. It counts as a part of the answer, and may break all other rules."""

    ids: Int[Array, "B P"]
    """int32, below `vocab_size` also where they are padding."""
    lengths: jax.Array
    """int32 [B], 0 to P: how many of the ids; a prefix is cut off at the greatest length of answers."""


class Constraints(NamedTuple):
    """The rules that are the same for all documents."""

    eos_id: int
    min_length: int = 0
    """Tokens before an answer may end."""
    no_repeat_ngram: int = 0
    """No sequence of so many tokens occurs twice in an answer; 0 allows all."""

    def apply(
        self,
        log_probs: Float[Array, "B K V"],
        ids: Int[Array, "B K L"],
        lengths: jax.Array,
        prefixes: Prefixes | None = None,
    ) -> jax.Array:
        """Minus infinity for what may not come next.

        Args:
            log_probs: Of the next token.
            ids: int32, the hypotheses so far.
            lengths: int32 [B], how many tokens those of each document have; what comes after is not read.
            prefixes: What the answers begin with.

        Returns:
            [B, K, V]; no row is minus infinity throughout unless it was.
        """
        allowed = log_probs
        if self.no_repeat_ngram:
            allowed = without_repeats(allowed, ids, lengths, self.no_repeat_ngram)
        if self.min_length:
            is_end = _is(self.eos_id, log_probs)
            allowed = jnp.where(is_end & (lengths < self.min_length)[:, None, None], -jnp.inf, allowed)
        if self.no_repeat_ngram or self.min_length:
            allowed = self._end_where_nothing_is_left(allowed, log_probs)
        return allowed if prefixes is None else _forced(prefixes, allowed, log_probs, lengths)

    def _end_where_nothing_is_left(self, allowed: jax.Array, log_probs: jax.Array) -> jax.Array:
        nothing = jnp.max(allowed, axis=2, keepdims=True) == -jnp.inf
        complete: jax.Array = jnp.where(nothing & _is(self.eos_id, log_probs), jnp.maximum(log_probs, LEAST), allowed)
        return complete


def _forced(prefixes: Prefixes, allowed: jax.Array, log_probs: jax.Array, lengths: jax.Array) -> jax.Array:
    width = prefixes.ids.shape[1]
    if not width:
        return allowed
    token = jnp.take_along_axis(prefixes.ids, jnp.minimum(lengths, width - 1)[:, None], axis=1)
    alone = jnp.where(_is(token[:, :, None], log_probs), jnp.maximum(log_probs, LEAST), -jnp.inf)
    forced: jax.Array = jnp.where((lengths < prefixes.lengths)[:, None, None], alone, allowed)
    return forced


def _is(token: jax.Array | int, log_probs: jax.Array) -> jax.Array:
    """bool [B, K, V], or what broadcasts to it: True in the column of a token."""
    column = jax.lax.broadcasted_iota(jnp.int32, (1, 1, log_probs.shape[2]), 2)
    is_it: jax.Array = column == token
    return is_it


def without_repeats(log_probs: jax.Array, ids: jax.Array, lengths: jax.Array, order: int) -> jax.Array:
    """Minus infinity, in [B, K, V], for each token that would end an n-gram, n = `order`, that is in `ids` already, of
    which [B] `lengths` are told.

    References: Paulus et al., "A deep reinforced model for abstractive summarization", 2018, section 2.5 (trigrams).
    """
    starts = ids.shape[2] - order + 1
    if starts < 1:
        return log_probs
    ends = jnp.arange(order - 1, ids.shape[2])
    repeats = jnp.broadcast_to(ends[None, None] < lengths[:, None, None], (*ids.shape[:2], starts))
    for place in range(order - 1):
        at = jnp.maximum(lengths - order + 1 + place, 0)  # where there is none, nothing has ended before it either
        last = jnp.take_along_axis(ids, at[:, None, None], axis=2)
        repeats &= ids[:, :, place : place + starts] == last
    tokens = jnp.where(repeats, ids[:, :, order - 1 :], log_probs.shape[2])
    rows, columns = (jax.lax.broadcasted_iota(jnp.int32, tokens.shape, axis) for axis in (0, 1))
    without: jax.Array = log_probs.at[rows, columns, tokens].set(-jnp.inf, mode="drop")
    return without


__all__ = ["Constraints", "Prefixes", "without_repeats"]
