"""The gradient of a text that a trained network has just predicted: what adapting at test time takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from lmtool.tasks.functions import Functions, State


def score_and_gradient(functions: Functions, params: Any, ids: jax.Array, state: State) -> tuple[jax.Array, Any, State]:
    """See `lmtool.api.AdaptableModel`. Back-propagation ends at the state, as in training."""

    def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, State]]:
        log_probs, after = functions.score(params, state, ids, jnp.ones(ids.shape, bool))
        return -log_probs.mean(), (log_probs, after)

    gradient, (log_probs, after) = jax.grad(loss, has_aux=True)(params)
    return log_probs, gradient, after
