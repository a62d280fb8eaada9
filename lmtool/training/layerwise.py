"""Layer-wise learning rates, gradual unfreezing and frozen parameters, around any optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from lmtool.errors import ConfigError, did_you_mean
from lmtool.tasks.depths import param_depths, path_of
from lmtool.training.around import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
class Layers:
    """By how much each parameter's update is scaled, and from which step on it is changed at all.

    References:
        Howard & Ruder, "Universal language model fine-tuning for text classification", 2018, sections 3.2 and 3.3.
    """

    depths: Any
    """A pytree of ints like the parameters; see `lmtool.api.Task`."""
    frozen: Any
    """A pytree of bools."""
    decay: float = 1.0
    """Factor from each depth to the one below it."""
    steps: int = 0
    """Steps after which the next depth below begins to be changed; 0 if all are from the start."""

    @property
    def _top(self) -> int:
        return int(max(jax.tree.leaves(self.depths)))

    def rescale(self, updates: Any, step: jax.Array) -> Any:
        """Updates as they are applied at a step, counted from 0."""

        def one(update: jax.Array, depth: int, frozen: bool) -> jax.Array:
            if frozen:
                return jnp.zeros_like(update)
            distance = self._top - depth
            scaled = update if self.decay == 1 else update * jnp.asarray(self.decay**distance, update.dtype)
            return self._where_active(step, distance, scaled, jnp.zeros_like(update))

        return jax.tree.map(one, updates, self.depths, self.frozen)

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
        ConfigError: if a frozen group is none, nothing is left to learn, or the task does not tell depths.
    """
    if training.layer_decay == 1 and training.unfreeze_every is None and not training.freeze:
        return None
    params = jax.eval_shape(task.init, jax.random.key(0))
    frozen = frozen_params(params, training.freeze)
    if training.layer_decay == 1 and training.unfreeze_every is None:
        return Layers(jax.tree.map(lambda _: 0, params), frozen)
    steps = (training.unfreeze_every or 0) * task.steps_per_epoch
    return Layers(_depths(training, task, params), frozen, training.layer_decay, steps)


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


def frozen_params(params: Any, names: Sequence[str]) -> Any:
    """A pytree of bools like `params`: True for what one of the names says.

    A name is the beginning of a dotted path: `embedding` is the embedding in all its parts, `backbone.layer_0` the
    lowest layer, `backbone` the whole of it.

    Raises:
        ConfigError: if a name is none of these, or all parameters are meant.
    """
    paths = [path_of(path) for path, _ in jax.tree.leaves_with_path(params)]
    for name in names:
        if not any(_belongs(path, name) for path in paths):
            known = sorted({path[0] for path in paths} | {".".join(path[:2]) for path in paths})
            groups = ", ".join(sorted({path[0] for path in paths}))
            raise ConfigError(f"training.freeze: no parameters '{name}'{did_you_mean(name, known)}; there are {groups}")
    frozen = jax.tree.map_with_path(lambda path, _: any(_belongs(path_of(path), name) for name in names), params)
    if all(jax.tree.leaves(frozen)):
        raise ConfigError(f"training.freeze = {list(names)} leaves nothing to learn")
    return frozen


def _belongs(path: Sequence[str], name: str) -> bool:
    dotted = ".".join(path)
    return dotted == name or dotted.startswith((f"{name}.", f"{name}_"))


__all__ = ["Layers", "Layerwise", "LayerwiseState", "Scaling", "frozen_params", "plan_layers"]
