"""Penalties on weights: L1 and L2 in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.tasks.network import with_gradient_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.config import TrainingConfig


def penalised(loss: Callable[..., Any], training: TrainingConfig) -> Callable[..., Any]:
    """`Task.loss` with λ₁ Σ|θ| + ½ λ₂ Σθ² over all weights but biases and gains, which are vectors and scalars.

    Its gradient is that of both, its value that of the loss alone: what is reported stays nats per target.

    References:
        Hoerl & Kennard, "Ridge regression", 1970; Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """
    if not (training.l1 or training.l2):
        return loss

    def with_penalty(params: Any, *arguments: Any) -> Any:
        value, rest = loss(params, *arguments)
        penalty = _penalty(params, training.l1, training.l2)
        return with_gradient_of(value, penalty), rest

    return with_penalty


def _penalty(params: Any, l1: float, l2: float) -> jax.Array:
    matrices = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    total = jnp.zeros((), jnp.float32)
    for leaf in matrices:
        if l1:
            total = total + l1 * jnp.sum(leaf * jnp.sign(leaf))  # jnp.abs has a gradient of 1 at zero
        if l2:
            total = total + 0.5 * l2 * jnp.sum(jnp.square(leaf))
    return total


__all__ = ["penalised"]
