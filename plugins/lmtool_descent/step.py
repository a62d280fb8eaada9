"""Loss and optimizer compiled into one update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from lmtool.training.around import is_variational
from lmtool.training.state import Metrics, TrainState, step_key
from lmtool_descent.micro_batches import in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.api import Optimizer
    from lmtool.array_types import Key
    from lmtool_descent.config import DescentConfig

    Step = Callable[[TrainState, Mapping[str, Any]], tuple[TrainState, Metrics]]

GRADIENT_NOISE = 2
"""Folded into a step's key; 0 and 1 are what splitting it gives."""


def compile_step(
    config: DescentConfig,
    loss: Callable[..., Any],
    optimizer: Optimizer,
    *,
    max_grad_norm: float | None,
    micro_batches: int,
) -> Step:
    """`step(state, batch) -> (state, metrics)`. The state that it is given is used up (its buffers are donated).

    A gradient is bounded first by value, then by norm, then noise is added. Where the optimizer samples weights, each
    part of a batch has a sample of its own, and its gradient is bounded before it says anything of the curvature.
    """
    value_and_grad = jax.value_and_grad(loss, has_aux=True)

    def bounded(grads: Any) -> tuple[Any, jax.Array]:
        norm = _global_norm(grads)
        return _bounded(grads, norm, config.max_grad_value, max_grad_norm), norm

    def step(state: TrainState, batch: Mapping[str, Any]) -> tuple[TrainState, Metrics]:
        def gradient(params: Any, carry: Any, batch: Any, keys: tuple[Key, Key]) -> Any:
            weights = optimizer.sample_params(params, state.opt_state, key=keys[0])
            found, grads = value_and_grad(weights, carry, batch, keys[1])
            if not is_variational(optimizer):
                return found, grads
            grads, norm = bounded(grads)
            return found, (grads, norm, optimizer.curvature(grads, params, weights, state.opt_state))

        if micro_batches > 1:
            gradient = in_parts(gradient, micro_batches)
        keys = tuple(jax.random.split(step_key(state)))
        (value, (carry, num_targets)), found = gradient(state.params, state.carry, batch, keys)
        extra: dict[str, Any] = {}
        if is_variational(optimizer):
            grads, norm, extra["curvature"] = found
        else:
            grads, norm = bounded(found)
        if config.noise:
            grads = _noisy(grads, config, state)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, **extra)
        params = optax.apply_updates(state.params, updates)
        after = state._replace(params=params, opt_state=opt_state, carry=carry, step=state.step + 1)
        return after, Metrics(value, num_targets, norm)

    return jax.jit(step, donate_argnames="state")


def _bounded(grads: Any, norm: jax.Array, max_value: float | None, max_norm: float | None) -> Any:
    if max_value is not None:
        grads = jax.tree.map(lambda grad: jnp.clip(grad, -max_value, max_value), grads)
        norm = _global_norm(grads)
    if max_norm is not None:
        grads = _scale(grads, jnp.minimum(1.0, max_norm / norm))
    return grads


def _noisy(grads: Any, config: DescentConfig, state: TrainState) -> Any:
    """With Gaussian noise of variance η / (1 + t)^γ at step t.

    References:
        Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015.
    """
    variance = config.noise / (1.0 + state.step.astype(jnp.float32)) ** config.noise_decay
    key = jax.random.fold_in(step_key(state), GRADIENT_NOISE)
    leaves, form = jax.tree.flatten(grads)
    drawn = [
        jax.random.normal(one, leaf.shape, leaf.dtype)
        for one, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    ]
    noise = jax.tree.unflatten(form, drawn)
    return jax.tree.map(lambda grad, drawn: grad + jnp.sqrt(variance) * drawn, grads, noise)


def _global_norm(grads: Any) -> jax.Array:
    squares = [jnp.sum(jnp.square(grad)) for grad in jax.tree.leaves(grads)]
    return jnp.sqrt(jnp.sum(jnp.stack(squares)))


def _scale(grads: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda grad: grad * factor, grads)
