"""Muon for the matrices of a backbone, AdamW for all other parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from lmtool.tasks.depths import path_of
from lmtool.training.names import named
from lmtool_descent.optimizers import descent

if TYPE_CHECKING:
    from lmtool.training.state import DeterministicOptimizer
    from lmtool_descent.config import MuonConfig


def muon(config: MuonConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """The momentum of a matrix's gradients, made orthogonal: all directions are learned at the same speed.

    An array of more axes, as a convolution's kernel [K, E, H], is the matrix [K·E, H]. Updates have the size of
    AdamW's, so that both have the same learning rate and weight decay.

    References:
        Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
        Liu et al., "Muon is scalable for LLM training", 2025, section 2.2 (the size of updates).
    """
    of_matrices = optax.chain(
        optax.trace(config.momentum, nesterov=config.nesterov),
        optax.stateless_with_tree_map(lambda momentum, _: orthogonal(momentum, config.iterations, config.rms)),
    )
    parts = {"muon": of_matrices, "adamw": optax.scale_by_adam(config.b1, config.b2, config.eps)}
    return descent(config, total_steps, optax.multi_transform(parts, lambda params: _labels(params, config)))


def orthogonal(matrix: jax.Array, iterations: int, rms: float) -> jax.Array:
    """U Vᵀ for a matrix U S Vᵀ, roughly, times what gives it the root mean square `rms`.

    Five iterations leave singular values between 0.7 and 1.2, which is as good as 1 for an update.

    Args:
        matrix: [..., M]; all axes but the last count as one.
        iterations: Of Newton and Schulz, with coefficients that lift small singular values fast.
        rms: Of the result, if it has full rank.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    rows, columns = math.prod(matrix.shape[:-1]), matrix.shape[-1]
    x = matrix.reshape(rows, columns)
    is_tall = rows > columns
    x = x.T if is_tall else x
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(iterations):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    x = x.T if is_tall else x
    size = rms * math.sqrt(max(rows, columns))
    return jnp.reshape(x * size, matrix.shape)


def _labels(params: Any, config: MuonConfig) -> Any:
    """`muon` for the matrices of the backbone; for all of them where nothing has that name."""
    is_adamws = named(params, config.adamw_for, "optimizer.adamw_for")
    has_backbone = any(path_of(path)[:1] == ["backbone"] for path, _ in jax.tree.leaves_with_path(params))

    def label(path: Any, array: jax.Array, is_adamws: bool) -> str:
        is_inside = not has_backbone or path_of(path)[0] == "backbone"
        return "muon" if array.ndim > 1 and is_inside and not is_adamws else "adamw"

    return jax.tree.map_with_path(label, params, is_adamws)
