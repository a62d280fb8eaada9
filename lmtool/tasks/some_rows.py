"""Cross entropy of those rows of a batch that count, at a cost in proportion to their number.

How many rows have a target in one part of the vocabulary is only known on the device, where shapes are fixed. So the
rows that count are brought to the front and read chunk by chunk, in a loop that ends with the last of them: whatever
their number, none is left out.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import jax
import jax.numpy as jnp

from lmtool.matmul import dot, weight_gradient
from lmtool.tasks.output import chosen_log_probs

if TYPE_CHECKING:
    from collections.abc import Callable

Arrays: TypeAlias = tuple[jax.Array, ...]


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def nll_of_some(
    h: jax.Array, embedding: jax.Array, bias: jax.Array, targets: jax.Array, importance: jax.Array, chunk: int
) -> jax.Array:
    """As `lmtool.tasks.softmax.weighted_nll`, for few rows: those whose importance is not 0.

    Its gradient is computed with it, as there.

    Args:
        h: [N, E].
        embedding: [V, E], float32.
        bias: [V], float32.
        targets: int32 [N].
        importance: float32 [N], constants.
        chunk: Rows that are read at once.

    Returns:
        float32 [], nats.
    """
    return _value_and_gradient(h, embedding, bias, targets, importance, chunk)[0]


def _value_and_gradient(
    h: jax.Array, embedding: jax.Array, bias: jax.Array, targets: jax.Array, importance: jax.Array, chunk: int
) -> tuple[jax.Array, Arrays]:
    rows = _Rows(importance != 0, chunk)
    hs, wanted, factors = rows.gather(h), rows.gather(targets), rows.gather(importance)
    rounded = embedding.astype(h.dtype)

    def add(start: jax.Array, sums: Arrays) -> Arrays:
        piece, target, factor = (rows.piece(array, start) for array in (hs, wanted, factors))
        log_probs = jax.nn.log_softmax(dot(piece, rounded, transpose_b=True) + bias[None])
        is_target = jax.lax.broadcasted_iota(jnp.int32, log_probs.shape, 1) == target[:, None]
        nll = -jnp.sum(jnp.where(is_target, log_probs, 0.0) * factor[:, None])
        d_logits = ((jnp.exp(log_probs) - is_target.astype(jnp.float32)) * factor[:, None]).astype(h.dtype)
        d_bias = dot(jnp.ones((1, chunk), h.dtype), d_logits)[0]
        d_piece = dot(d_logits, rounded).astype(h.dtype)
        total, d_h, d_embedding, d_bias_sum = sums
        d_h = jax.lax.dynamic_update_slice_in_dim(d_h, d_piece, start, 0)
        return total + nll, d_h, d_embedding + weight_gradient(d_logits, piece), d_bias_sum + d_bias

    zeros = (jnp.zeros((), jnp.float32), jnp.zeros_like(hs), jnp.zeros_like(embedding), jnp.zeros_like(bias))
    nll, d_hs, d_embedding, d_bias = rows.loop(add, zeros)
    return nll, (rows.scatter(d_hs), d_embedding, d_bias)


def _backward(chunk: int, gradients: Arrays, factor: jax.Array) -> tuple[jax.Array | None, ...]:
    d_h, d_embedding, d_bias = (gradient * factor.astype(gradient.dtype) for gradient in gradients)
    return d_h, d_embedding, d_bias, None, None


nll_of_some.defvjp(_value_and_gradient, _backward)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def log_probs_of_some(
    h: jax.Array, embedding: jax.Array, bias: jax.Array, targets: jax.Array, counts: jax.Array, chunk: int
) -> jax.Array:
    """Log-probabilities float32 [N] of the targets where `counts` (bool [N]) says so, elsewhere 0; as above."""
    rows = _Rows(counts, chunk)
    hs, wanted = rows.gather(h), rows.gather(targets)

    def write(start: jax.Array, out: Arrays) -> Arrays:
        logits = dot(rows.piece(hs, start), embedding.astype(h.dtype), transpose_b=True) + bias[None]
        chosen = chosen_log_probs(logits, rows.piece(wanted, start))
        return (jax.lax.dynamic_update_slice_in_dim(out[0], chosen, start, 0),)

    (found,) = rows.loop(write, (jnp.zeros(rows.total, jnp.float32),))
    return jnp.where(counts, rows.scatter(found), 0.0)


def _log_probs_forward(
    h: jax.Array, embedding: jax.Array, bias: jax.Array, targets: jax.Array, counts: jax.Array, chunk: int
) -> tuple[jax.Array, Arrays]:
    residuals = (h, embedding, bias, targets, counts)
    return log_probs_of_some(*residuals, chunk), residuals


def _log_probs_backward(chunk: int, residuals: Arrays, gradient: jax.Array) -> tuple[jax.Array | None, ...]:
    h, embedding, bias, targets, counts = residuals
    importance = jnp.where(counts, -gradient, 0.0)
    return *_value_and_gradient(h, embedding, bias, targets, importance, chunk)[1], None, None


log_probs_of_some.defvjp(_log_probs_forward, _log_probs_backward)


class _Rows:
    """The rows that count, at the front of arrays whose length is a multiple of the chunk.

    Args:
        counts: bool [N].
        chunk: Rows.
    """

    def __init__(self, counts: jax.Array, chunk: int) -> None:
        self.chunk = chunk
        self.total = -(-counts.size // chunk) * chunk
        self.number = jnp.count_nonzero(counts)
        self._order = jnp.argsort(~counts, stable=True)

    def gather(self, array: jax.Array) -> jax.Array:
        """[N, …] to [total, …]; zeros behind the last row."""
        padding = [(0, self.total - array.shape[0]), *[(0, 0)] * (array.ndim - 1)]
        return jnp.pad(array[self._order], padding)

    def scatter(self, array: jax.Array) -> jax.Array:
        """[total, …] to [N, …]: each row where it came from."""
        return array[jnp.argsort(self._order)]

    def piece(self, array: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(array, start, self.chunk)

    def loop(self, body: Callable[[jax.Array, Arrays], Arrays], initial: Arrays) -> Arrays:
        """`body(first row, values)` for each chunk with a row that counts."""
        chunks = (self.number + self.chunk - 1) // self.chunk
        values: Arrays = jax.lax.fori_loop(0, chunks, lambda i, values: body(i * self.chunk, values), initial)
        return values


__all__ = ["log_probs_of_some", "nll_of_some"]
