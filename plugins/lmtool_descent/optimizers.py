"""Optimizers as optax transformations, with their schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import optax

from lmtool.training.state import DeterministicOptimizer
from lmtool_descent.schedules import learning_rate

if TYPE_CHECKING:
    from lmtool_descent.config import AdamWConfig, SGDConfig


def sgd(config: SGDConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """θ ← θ − η∇L; with momentum μ: v ← μv + ∇L, θ ← θ − ηv."""
    return DeterministicOptimizer(*sgd_updates(config, total_steps))


def sgd_updates(config: SGDConfig, total_steps: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The transformation, and its learning rate."""
    schedule = learning_rate(config, total_steps)
    descend = optax.sgd(schedule, momentum=config.momentum or None, nesterov=config.nesterov)
    if config.weight_decay:
        descend = optax.chain(optax.add_decayed_weights(config.weight_decay), descend)
    return descend, schedule


def adamw(config: AdamWConfig, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """Adam with decoupled weight decay.

    References:
        Kingma & Ba, "Adam: a method for stochastic optimization", 2015.
        Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    """
    schedule = learning_rate(config, total_steps)
    descend = optax.adamw(schedule, config.b1, config.b2, config.eps, weight_decay=config.weight_decay, mask=_is_matrix)
    return DeterministicOptimizer(descend, schedule)


def _is_matrix(params: Any) -> Any:
    return jax.tree.map(lambda array: array.ndim > 1, params)
