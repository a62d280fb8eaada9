"""Layer-wise learning rates, gradual unfreezing and frozen parameters, around any optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from lmtool.errors import ConfigError
from lmtool.tasks.depths import param_depths
from lmtool.training.around import Around
from lmtool.training.names import factors_of, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lmtool.api import Task
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig


class Scaling(Protocol):
    """What becomes of an optimizer's updates, and of the weights that it samples."""

    def rescale(self, updates: Any, step: jax.Array) -> Any:
        """Updates as they are applied at a step, counted from 0; leaf by leaf."""
        ...

    def sampled(self, sampled: Any, params: Any, step: jax.Array) -> Any:
        """The weights at which the gradient is taken, from those that the optimizer drew and the parameters."""
        ...


@dataclass(frozen=True)
class Together:
    """Several of them, one after the other."""

    scalings: tuple[Scaling, ...]

    def rescale(self, updates: Any, step: jax.Array) -> Any:
        for one in self.scalings:
            updates = one.rescale(updates, step)
        return updates

    def sampled(self, sampled: Any, params: Any, step: jax.Array) -> Any:
        for one in self.scalings:
            sampled = one.sampled(sampled, params, step)
        return sampled


@dataclass(frozen=True)
class Layers:
    """By how much each parameter's update is scaled, and from which step on it is changed at all.

    References:
        Howard & Ruder, "Universal language model fine-tuning for text classification", 2018, sections 3.2 and 3.3.
    """

    depths: Any
    """A pytree of ints like the parameters; see `lmtool.api.Task`."""
    frozen: Any
    """A pytree of bools."""
    factors: Any = None
    """A pytree of floats like the parameters, by which their updates are multiplied besides; None for ones."""
    decay: float = 1.0
    """Factor from each depth to the one below it."""
    steps: int = 0
    """Steps after which the next depth below begins to be changed; 0 if all are from the start."""

    @property
    def _top(self) -> int:
        return int(max(jax.tree.leaves(self.depths)))

    def rescale(self, updates: Any, step: jax.Array) -> Any:
        """Updates as they are applied at a step, counted from 0."""

        def one(update: jax.Array, depth: int, frozen: bool, factor: float) -> jax.Array:
            if frozen:
                return jnp.zeros_like(update)
            distance = self._top - depth
            factor *= self.decay**distance
            scaled = update if factor == 1 else update * jnp.asarray(factor, update.dtype)
            return self._where_active(step, distance, scaled, jnp.zeros_like(update))

        factors = jax.tree.map(lambda _: 1.0, self.depths) if self.factors is None else self.factors
        return jax.tree.map(one, updates, self.depths, self.frozen, factors)

    def sampled(self, sampled: Any, params: Any, step: jax.Array) -> Any:
        """The weights at which the gradient is taken: what is not changed is not sampled either."""

        def one(drawn: jax.Array, own: jax.Array, depth: int, frozen: bool) -> jax.Array:
            return own if frozen else self._where_active(step, self._top - depth, drawn, own)

        return jax.tree.map(one, sampled, params, self.depths, self.frozen)

    def _where_active(self, step: jax.Array, distance: int, yes: jax.Array, no: jax.Array) -> jax.Array:
        first = distance * self.steps
        return jnp.where(step >= first, yes, no) if first else yes

    def loss(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """`Task.loss` without a gradient for what is frozen: it costs nothing, and no norm counts it.

        What waits to be unfrozen keeps its gradient, so that the optimizer's moments are those of many steps when it
        first moves: a mean of squares that begins at zero late would make the first updates three times too large.
        """
        if not any(jax.tree.leaves(self.frozen)):
            return loss

        def without_frozen(params: Any, *arguments: Any) -> Any:
            stopped = jax.tree.map(
                lambda one, frozen: jax.lax.stop_gradient(one) if frozen else one, params, self.frozen
            )
            return loss(stopped, *arguments)

        return without_frozen


class LayerwiseState(NamedTuple):
    """The optimizer's state, and how often it was asked."""

    state: Any
    step: jax.Array
    """int32 [], steps taken."""


@dataclass(frozen=True)
class Layerwise(Around):
    """Trains as `optimizer` does, with its updates scaled and left out as `layers` says.

    An optimizer that averages weights itself must know: with an attribute `rescales` its `update` is given
    `rescale`, a function of updates, to be applied before it averages; the updates of any other are scaled here.
    """

    layers: Scaling

    def init(self, params: Any) -> LayerwiseState:
        return LayerwiseState(self.optimizer.init(params), jnp.zeros((), jnp.int32))

    def update(
        self, updates: Any, state: LayerwiseState, params: Any = None, **extra: Any
    ) -> tuple[Any, LayerwiseState]:
        def rescale(updates: Any) -> Any:
            return self.layers.rescale(updates, state.step)

        if getattr(self.optimizer, "rescales", False):
            updates, inner = self.optimizer.update(updates, state.state, params, rescale=rescale, **extra)
        else:
            updates, inner = self.optimizer.update(updates, state.state, params, **extra)
            updates = rescale(updates)
        return updates, LayerwiseState(inner, state.step + 1)

    def sample_params(self, params: Any, state: LayerwiseState, *, key: Key) -> Any:
        return self.layers.sampled(self.optimizer.sample_params(params, state.state, key=key), params, state.step)

    def posterior(self, params: Any, state: LayerwiseState) -> Any:
        """Of a variational optimizer; what is not changed is known for sure."""
        deviations = super().posterior(params, state)
        return self.layers.sampled(deviations, jax.tree.map(jnp.zeros_like, deviations), state.step)


def plan_layers(training: TrainingConfig, task: Task) -> Layers | None:
    """What a config asks for; None if all parameters are trained alike.

    Raises:
        ConfigError: if a name says no parameter, nothing is left to learn, or the task does not tell depths.
    """
    by_depth = training.layer_decay < 1 or training.unfreeze_every is not None
    if not (by_depth or training.freeze or training.rates):
        return None
    params = jax.eval_shape(task.init, jax.random.key(0))
    return Layers(
        depths=_depths(training, task, params) if by_depth else jax.tree.map(lambda _: 0, params),
        frozen=frozen_params(params, training.freeze, training.rates),
        factors=factors_of(params, training.rates, "training.rates") if training.rates else None,
        decay=training.layer_decay,
        steps=(training.unfreeze_every or 0) * task.steps_per_epoch,
    )


def _depths(training: TrainingConfig, task: Task, params: Any) -> Any:
    """As the task tells them; by the usual names if it does not."""
    if hasattr(task, "param_depths"):
        return task.param_depths(params)
    depths = param_depths(params)
    if len(set(jax.tree.leaves(depths))) == 1:
        key = "unfreeze_every" if training.layer_decay == 1 else "layer_decay"
        what = "has no `embedding` and no `backbone` by name, and does not say how deep its parameters lie"
        raise ConfigError(f"training.{key} has no use: this task {what}")
    return depths


def frozen_params(params: Any, names: Sequence[str], rates: Mapping[str, float] = MappingProxyType({})) -> Any:
    """A pytree of bools like `params`: True for what one of the names says; see `lmtool.training.names`.

    A factor of 0 freezes, too.

    Raises:
        ConfigError: if a name says no parameter, or all are meant.
    """
    frozen = jax.tree.map(
        lambda frozen, factor: frozen or factor == 0,
        named(params, names, "training.freeze"),
        factors_of(params, rates, "training.rates"),
    )
    if all(jax.tree.leaves(frozen)):
        key, value = ("freeze", list(names)) if names else ("rates", dict(rates))
        raise ConfigError(f"training.{key} = {value} leaves nothing to learn")
    return frozen


__all__ = ["Layers", "Layerwise", "LayerwiseState", "Scaling", "Together", "frozen_params", "plan_layers"]
