"""Draw the next token of each answer, so that the chance of one does not depend on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from lmtool.decoding.selection import CHUNK

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from lmtool.array_types import Key
    from lmtool.settings import DecodingConfig


BELOW_ONE = 1 - 2**-22
"""A number times it is less, in float32."""


class Sampler:
    """A `Pick` that draws: first the temperature, then `top_k`, then `top_p`; what is left is scaled to sum to one.

    The key of a token is `key` with the document's number, the answer's, and the token's place folded in.

    References: Fan et al., "Hierarchical neural story generation", 2018 (top-k); Holtzman et al., "The curious case of
    neural text degeneration", 2020 (top-p).
    """

    def __init__(self, decoding: DecodingConfig, key: Key) -> None:
        self._decoding, self._key = decoding, key

    def __call__(self, log_probs: Float[Array, "B K V"], numbers: jax.Array, lengths: jax.Array) -> jax.Array:
        """See `Pick`."""
        answers = jnp.arange(log_probs.shape[1])

        def chance(number: jax.Array, answer: jax.Array, place: jax.Array) -> jax.Array:
            key = jax.random.fold_in(jax.random.fold_in(self._key, number), answer)
            return jax.random.uniform(jax.random.fold_in(key, place))

        of_answers = jax.vmap(chance, in_axes=(None, 0, None))
        uniform = jax.vmap(of_answers, in_axes=(0, None, 0))(numbers, answers, lengths)
        logits = log_probs / self._decoding.temperature
        top_k, top_p = self._decoding.top_k, self._decoding.top_p
        ids = None
        if top_k is not None and top_k < logits.shape[2]:
            logits, ids = jax.lax.top_k(logits, top_k)  # of equal ones, those with lower ids
        if top_p is not None and top_p < 1:
            logits = within(logits, top_p)
        place = draw(logits, uniform)
        if ids is None:
            return place
        return jnp.take_along_axis(ids, place[:, :, None], axis=2, mode="promise_in_bounds")[:, :, 0]


def within(logits: jax.Array, share: float) -> jax.Array:
    """Minus infinity for all but the likeliest tokens that have at least this share of the probability together, and as
    few of them as will do, of equal ones all.

    The least probability of those is looked for bit by bit: floating-point numbers that are not negative are in the
    order of their bits. A CPU takes a hundred times as long to sort a vocabulary.

    Args:
        logits: float32 [B, K, V].
        share: Above 0, below 1.
    """
    probs = jax.nn.softmax(logits, axis=2)
    bits = jax.lax.bitcast_convert_type(probs, jnp.int32)

    def narrow(number: jax.Array, least: jax.Array) -> jax.Array:
        higher = least | (jnp.int32(1) << (30 - number))
        mass = jnp.sum(jnp.where(bits >= higher, probs, 0.0), axis=2, keepdims=True)
        return jnp.where(mass >= share, higher, least)

    least = jax.lax.fori_loop(0, 31, narrow, jnp.zeros((*bits.shape[:2], 1), jnp.int32))
    kept: jax.Array = jnp.where(bits >= least, logits, -jnp.inf)
    return kept


def draw(logits: jax.Array, uniform: jax.Array) -> jax.Array:
    """A token of each row by its probability; one that has none is never drawn.

    It is the first at which the sum of probabilities up to it is above `uniform` of the whole; first that of a chunk of
    tokens, then within the chunk.

    Args:
        logits: float32 [B, K, V].
        uniform: float32 [B, K], in [0, 1).

    Returns:
        int32 [B, K].
    """
    rows, width, vocab = logits.shape
    chunks = -(-vocab // CHUNK)
    probs = jnp.exp(logits - jnp.max(logits, axis=2, keepdims=True))
    chunked = jnp.pad(probs, ((0, 0), (0, 0), (0, chunks * CHUNK - vocab))).reshape(rows, width, chunks, CHUNK)
    sums = jnp.cumsum(jnp.sum(chunked, axis=3), axis=2)
    wanted = uniform[:, :, None] * sums[:, :, -1:]
    chunk = jnp.argmax(sums > wanted, axis=2, keepdims=True)
    before = jnp.where(chunk > 0, jnp.take_along_axis(sums, jnp.maximum(chunk - 1, 0), axis=2), 0.0)
    inside = jnp.take_along_axis(chunked, chunk[:, :, :, None], axis=2)[:, :, 0]
    # Rounding may leave no sum above; then it is the last token that has a probability.
    up_to = jnp.cumsum(inside, axis=2)
    place = jnp.argmax(up_to > jnp.minimum(wanted - before, up_to[:, :, -1:] * BELOW_ONE), axis=2)
    return (chunk[:, :, 0] * CHUNK + place).astype(jnp.int32)


__all__ = ["Sampler", "draw", "within"]
