"""An exponential moving average of the weights, beside any optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

if TYPE_CHECKING:
    from lmtool.api import Optimizer
    from lmtool.array_types import Key


class AveragedState(NamedTuple):
    """The optimizer's state, and the average after the same steps."""

    state: Any
    average: Any
    """Like the parameters."""
    weight: jax.Array
    """float32 [], 1 − dⁿ after n steps: what the weights of all of them sum to in a plain moving average."""


@dataclass(frozen=True)
class ExponentialAverage:
    """Trains as `optimizer` does, and evaluates the average of the parameters after each step.

    The parameters of k steps ago have the weight dᵏ, divided by the sum of these weights: so the first average is
    the first parameters, not something near zero.

    References:
        Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992 (averages);
        Kingma & Ba, "Adam: a method for stochastic optimization", 2015 (section 3: the correction).
    """

    optimizer: Optimizer
    decay: float
    """d, above 0 and below 1."""

    @property
    def schedule(self) -> Any:
        return getattr(self.optimizer, "schedule", None)

    def init(self, params: Any) -> AveragedState:
        return AveragedState(self.optimizer.init(params), params, jnp.zeros((), jnp.float32))

    def update(self, updates: Any, state: AveragedState, params: Any = None, **extra: Any) -> tuple[Any, AveragedState]:
        updates, inner = self.optimizer.update(updates, state.state, params, **extra)
        weight = self.decay * state.weight + (1 - self.decay)
        share = (1 - self.decay) / weight  # 1 at the first step
        new = optax.apply_updates(params, updates)

        def mean(old: jax.Array, new: jax.Array) -> jax.Array:
            # What does not move is not moved by rounding either.
            return jnp.where(old == new, new, (1 - share) * old + share * new)

        average = jax.tree.map(mean, state.average, new)
        return updates, AveragedState(inner, average, weight)

    def sample_params(self, params: Any, state: AveragedState, *, key: Key) -> Any:
        return self.optimizer.sample_params(params, state.state, key=key)

    def eval_params(self, params: Any, state: AveragedState) -> Any:
        return state.average

    def observe(self, state: AveragedState, value: float) -> AveragedState:
        """A validation's loss, for an optimizer that asks for it."""
        return state._replace(state=observed(self.optimizer, state.state, value))


def observed(optimizer: Optimizer, state: Any, value: float) -> Any:
    """An optimizer's state after a validation; as it was if the optimizer does not want to know.

    Args:
        optimizer: May have `observe(state, value) -> state`.
        state: Its arrays' types and places are kept, so that the step need not be compiled anew.
        value: Validation loss, nats per token.
    """
    observe = getattr(optimizer, "observe", None)
    if observe is None:
        return state

    def like(new: Any, old: jax.Array) -> jax.Array:
        placed: jax.Array = jax.device_put(jnp.array(new, old.dtype), old.sharding)
        return placed

    return jax.tree.map(like, observe(state, value), state)


__all__ = ["AveragedState", "ExponentialAverage", "observed"]
