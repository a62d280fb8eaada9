"""Loss and optimizer compiled into one update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from lmtool.training.state import Metrics, TrainState, step_key
from lmtool_descent.micro_batches import in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.api import Optimizer
    from lmtool.config import Config

    Step = Callable[[TrainState, Mapping[str, Any]], tuple[TrainState, Metrics]]


def compile_step(
    config: Config, loss: Callable[..., Any], optimizer: Optimizer, *, max_grad_norm: float | None, micro_batches: int
) -> Step:
    """`step(state, batch) -> (state, metrics)`. The state that it is given is used up (its buffers are donated)."""
    gradient = jax.value_and_grad(loss, has_aux=True)
    if micro_batches > 1:
        gradient = in_parts(gradient, micro_batches)

    def step(state: TrainState, batch: Mapping[str, Any]) -> tuple[TrainState, Metrics]:
        sample_key, loss_key = jax.random.split(step_key(state))
        weights = optimizer.sample_params(state.params, state.opt_state, key=sample_key)
        (value, (carry, num_targets)), grads = gradient(weights, state.carry, batch, loss_key)
        grad_norm = _global_norm(grads)
        if max_grad_norm is not None:
            grads = _scale(grads, jnp.minimum(1.0, max_grad_norm / grad_norm))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        after = state._replace(params=params, opt_state=opt_state, carry=carry, step=state.step + 1)
        return after, Metrics(value, num_targets, grad_norm)

    return jax.jit(step, donate_argnames="state")


def _global_norm(grads: Any) -> jax.Array:
    squares = [jnp.sum(jnp.square(grad)) for grad in jax.tree.leaves(grads)]
    return jnp.sqrt(jnp.sum(jnp.stack(squares)))


def _scale(grads: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda grad: grad * factor, grads)
