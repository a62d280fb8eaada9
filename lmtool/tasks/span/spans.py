"""All spans of a context: scores, probabilities, and the search for the best.

A span begins at place s and ends at place s + d, with d < L: arrays [B, T, L]. It lies within one line and never in
padding. As its score is start[s] + end[s + d], the best of all is found exactly in O(T · L).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.tasks.masking import LOWEST

if TYPE_CHECKING:
    from lmtool.array_types import Ids, Mask


def shifted(values: jax.Array, length: int, filling: float | bool) -> jax.Array:
    """[B, T] to [B, T, L]: what stands d places on, the filling beyond the end."""
    width = values.shape[1]
    padded = jnp.pad(values, ((0, 0), (0, length - 1)), constant_values=filling)
    return jnp.stack([padded[:, d : d + width] for d in range(length)], axis=-1)


def allowed(context: Ids, mask: Mask, eos_id: int, length: int) -> jax.Array:
    """bool [B, T, L]: which spans of at most `length` ids lie in one line and hold nothing else."""
    usable = mask & (context != eos_id)
    breaks = jnp.cumsum(~usable, axis=1)
    inside = shifted(usable, length, False)
    unbroken: jax.Array = inside & usable[:, :, None] & (shifted(breaks, length, -1) == breaks[:, :, None])
    return unbroken


def span_log_probs(start: jax.Array, end: jax.Array, inside: jax.Array) -> jax.Array:
    """Of all spans that are `inside`, float32 [B, T, L], in nats; very low for the others."""
    scores = start[:, :, None] + shifted(end, inside.shape[-1], 0.0)
    total = jax.nn.logsumexp(jnp.where(inside, scores, LOWEST), axis=(1, 2), keepdims=True)
    return jnp.where(inside, scores - total, LOWEST)


def marginal(log_probs: jax.Array, answers: jax.Array) -> jax.Array:
    """How likely it is that a span is one of the answers [B, T, L], float32 [B], in nats.

    References: Clark & Gardner, "Simple and effective multi-paragraph reading comprehension", 2018 (section 3.1).
    """
    return jax.nn.logsumexp(jnp.where(answers, log_probs, LOWEST), axis=(1, 2))


def best_spans(log_probs: np.ndarray, count: int) -> np.ndarray:
    """The places of the best spans, int [N, 2]: first place, and length less one; of equals the first and shortest.

    Args:
        log_probs: [T, L], very low where there is no span; those are never found.
        count: N is at most this.
    """
    flat = log_probs.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count] if count > 1 else np.array([flat.argmax()])
    order = order[flat[order] > LOWEST / 2]
    return np.stack(np.unravel_index(order, log_probs.shape), axis=1)


__all__ = ["allowed", "best_spans", "marginal", "shifted", "span_log_probs"]
