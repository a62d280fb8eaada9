"""An exponential moving average of the weights, beside any optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lmtool.training.around import Around


class AveragedState(NamedTuple):
    """The optimizer's state, and the average after the same steps."""

    state: Any
    average: Any
    """Like the parameters."""
    weight: jax.Array
    """float32 [], 1 − dⁿ after n steps: what the weights of all of them sum to in a plain moving average."""


@dataclass(frozen=True)
class ExponentialAverage(Around):
    """Trains as `optimizer` does, and evaluates the average of the parameters after each step.

    The parameters of k steps ago have the weight dᵏ, divided by the sum of these weights: so the first average is
    the first parameters, not something near zero.

    References:
        Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992 (averages);
        Kingma & Ba, "Adam: a method for stochastic optimization", 2015 (section 3: the correction).
    """

    decay: float
    """d, above 0 and below 1."""

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

    def eval_params(self, params: Any, state: AveragedState) -> Any:
        return state.average


__all__ = ["AveragedState", "ExponentialAverage"]
