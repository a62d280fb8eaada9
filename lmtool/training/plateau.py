"""A learning rate that is reduced when validation no longer improves, around any optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from lmtool.settings import ScheduleConfig
from lmtool.training.around import Around, observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import Optimizer
    from lmtool.settings import Config


class PlateauState(NamedTuple):
    """Arrays only, so that a checkpoint holds how far the rate has come down."""

    state: Any
    factor: jax.Array
    """float32 [], of the learning rate."""
    best: jax.Array
    """float32 [], the lowest of what validations gave so far; infinite before the first."""
    waited: jax.Array
    """int32 [], validations in a row without a lower one."""


@dataclass(frozen=True)
class Plateau(Around):
    """Multiplies the learning rate by `plateau_factor` after `plateau_patience` validations without a better figure,
    of those that `training.monitor` names.

    It scales updates, which are the learning rate times something that does not depend on it. Decoupled weight decay,
    ηλθ, is scaled with them.
    """

    config: ScheduleConfig

    rescales = True
    """What scales updates further is handed on, so that an average is that of the weights as they really move."""

    def init(self, params: Any) -> PlateauState:
        return PlateauState(
            state=self.optimizer.init(params),
            factor=jnp.ones((), jnp.float32),
            best=jnp.full((), jnp.inf, jnp.float32),
            waited=jnp.zeros((), jnp.int32),
        )

    def update(
        self,
        updates: Any,
        state: PlateauState,
        params: Any = None,
        *,
        rescale: Callable[[Any], Any] = lambda updates: updates,
        **extra: Any,
    ) -> tuple[Any, PlateauState]:
        def reduced(updates: Any) -> Any:
            return rescale(jax.tree.map(lambda update: update * state.factor.astype(update.dtype), updates))

        if getattr(self.optimizer, "rescales", False):
            updates, inner = self.optimizer.update(updates, state.state, params, rescale=reduced, **extra)
        else:
            updates, inner = self.optimizer.update(updates, state.state, params, **extra)
            updates = reduced(updates)
        return updates, state._replace(state=inner)

    def observe(self, state: PlateauState, value: float) -> PlateauState:
        """A validation's loss, nats per token."""
        loss = jnp.asarray(value, jnp.float32)
        waited = jnp.where(loss < state.best, 0, state.waited + 1)
        is_over = waited >= self.config.plateau_patience
        lower = jnp.maximum(state.factor * self.config.plateau_factor, self.config.end_factor)
        return PlateauState(
            state=observed(self.optimizer, state.state, value),
            factor=jnp.where(is_over, lower, state.factor),
            best=jnp.minimum(loss, state.best),
            waited=jnp.where(is_over, 0, waited),
        )

    def rate_factor(self, state: PlateauState) -> jax.Array:
        """Float32 [], what the schedule is multiplied by."""
        return state.factor


def with_plateau(optimizer: Optimizer, config: Config) -> Optimizer:
    """The optimizer, its learning rate reduced on plateaus if its settings are a schedule's and ask for it."""
    if isinstance(config, ScheduleConfig) and config.schedule == "plateau":
        return Plateau(optimizer, config)
    return optimizer


__all__ = ["Plateau", "PlateauState", "with_plateau"]
