"""The best continuations of the hypotheses of each document, exactly, and fast on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float

CHUNK = 64
"""Neighbouring tokens of which the maximum is looked at first."""


def log_softmax(logits: jax.Array) -> jax.Array:
    """`jax.nn.log_softmax` over the last axis, for log-probabilities of which few are looked at.

    Row by row only two numbers are computed at once; the compiler then subtracts them where a log-probability is
    needed, and does not write them all down: a fifth of a step of beam search on a CPU.
    """
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    log_sum = jnp.log(jnp.sum(jnp.exp(logits - top), axis=-1, keepdims=True))
    top, log_sum = jax.lax.optimization_barrier((top, log_sum))  # type: ignore[no-untyped-call]
    log_probs: jax.Array = (logits - top) - log_sum
    return log_probs


def best(scores: Float[Array, "B K V"], count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` highest scores of each document, and where they are in [K * V].

    Of equal ones the first is taken first. The highest scores lie in the `count` chunks with the highest maxima, of
    equal ones the first: any other chunk has so many above it. So the vocabulary is read once, for maxima, which
    compilers do well, and only a few chunks are sorted.

    Returns:
        float32 and int32, [B, count], descending.
    """
    rows, width, vocab = scores.shape
    if width * vocab <= 4 * count * CHUNK:
        values, places = jax.lax.top_k(scores.reshape(rows, width * vocab), count)
        return values, places
    chunks = -(-vocab // CHUNK)
    padded = jnp.pad(scores, ((0, 0), (0, 0), (0, chunks * CHUNK - vocab)), constant_values=-jnp.inf)
    chunked = padded.reshape(rows, width * chunks, CHUNK)
    _, chosen = jax.lax.top_k(jnp.max(chunked, axis=2), count)
    chosen = jnp.sort(chosen, axis=1)  # so that the first of equal scores stays the first
    candidates = jnp.take_along_axis(chunked, chosen[:, :, None], axis=1, mode="promise_in_bounds")
    values, places = jax.lax.top_k(candidates.reshape(rows, count * CHUNK), count)
    chunk = jnp.take_along_axis(chosen, places // CHUNK, axis=1, mode="promise_in_bounds")
    # The padding is taken where nothing else is left; it is no token.
    token = jnp.minimum(chunk % chunks * CHUNK + places % CHUNK, vocab - 1)
    return values, chunk // chunks * vocab + token


__all__ = ["CHUNK", "best", "log_softmax"]
