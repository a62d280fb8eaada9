"""What optimizers that are put around another one share, and what an optimizer need not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from lmtool.api import Optimizer, VariationalOptimizer
    from lmtool.array_types import Key


@dataclass(frozen=True)
class Around:
    """Does as `optimizer` does. A subclass has its own `init` and `update`, and a named tuple as state, whose field
    `state` is that of `optimizer`."""

    optimizer: Optimizer

    @property
    def schedule(self) -> Any:
        return getattr(self.optimizer, "schedule", None)

    @property
    def variational(self) -> bool:
        return is_variational(self.optimizer)

    def sample_params(self, params: Any, state: Any, *, key: Key) -> Any:
        return self.optimizer.sample_params(params, state.state, key=key)

    def curvature(self, grads: Any, params: Any, weights: Any, state: Any) -> Any:
        """Of a variational optimizer."""
        return self._variational.curvature(grads, params, weights, state.state)

    def eval_params(self, params: Any, state: Any) -> Any:
        return self.optimizer.eval_params(params, state.state)

    def posterior(self, params: Any, state: Any) -> Any:
        """Of a variational optimizer."""
        return self._variational.posterior(params, state.state)

    @property
    def _variational(self) -> VariationalOptimizer:
        assert is_variational(self.optimizer)
        return self.optimizer

    def observe(self, state: Any, value: float) -> Any:
        """A validation's loss, for an optimizer that asks for it."""
        return state._replace(state=observed(self.optimizer, state.state, value))

    def rate_factor(self, state: Any) -> Any:
        return rate_factor(self.optimizer, state.state)


def is_variational(optimizer: Any) -> TypeGuard[VariationalOptimizer]:
    """Whether it samples the weights at which gradients are taken; see `lmtool.api.VariationalOptimizer`."""
    return bool(getattr(optimizer, "variational", False))


def observed(optimizer: Optimizer, state: Any, value: float) -> Any:
    """An optimizer's state after a validation; as it was if the optimizer does not want to know.

    Args:
        optimizer: May have `observe(state, value) -> state`.
        state: Its arrays' types and places are kept, so that the step need not be compiled anew.
        value: Of the figure that `training.monitor` names, so turned that the lowest is best.
    """
    observe = getattr(optimizer, "observe", None)
    if observe is None:
        return state

    def like(new: Any, old: jax.Array) -> jax.Array:
        placed: jax.Array = jax.device_put(jnp.array(new, old.dtype), old.sharding)
        return placed

    return jax.tree.map(like, observe(state, value), state)


def rate_factor(optimizer: Optimizer, state: Any) -> Any:
    """What the validations so far have multiplied the schedule's learning rate by; 1 where they change nothing."""
    told = getattr(optimizer, "rate_factor", None)
    return 1.0 if told is None else told(state)


__all__ = ["Around", "is_variational", "observed", "rate_factor"]
