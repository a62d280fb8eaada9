"""What a training step takes and gives back, and how a plain optax transformation becomes an `Optimizer`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool.api import Optimizer, Task
    from lmtool.array_types import Key


FIXED = "fixed"
"""The entry of a batch that has no rows: what the task's `fixed` gave, the same for all steps."""


class TrainState(NamedTuple):
    """Everything on the device that one step changes; a pytree of arrays. What is not here, a batch aside, is fixed."""

    params: Any
    opt_state: Any
    carry: Any
    """What the windows of this epoch so far hand on; data, so no gradient flows through it."""
    step: jax.Array
    """int32 [], steps taken."""
    seed: jax.Array
    """int32 []; the keys of a step come from `step_key`, so that a resumed run draws what it would have drawn."""


class Metrics(NamedTuple):
    """What a step says of itself; stays on the device until somebody looks."""

    loss: jax.Array
    """float32 [], mean nats per target before the step."""
    num_targets: jax.Array
    """[], unmasked targets of the batch."""
    grad_norm: jax.Array
    """float32 [], global norm before clipping."""


def initial_state(
    task: Task, optimizer: Optimizer, seed: int, start: Callable[[Any], Any] = lambda params: params
) -> TrainState:
    """The state before the first step: a pure function of its arguments.

    Args:
        task: Gives fresh parameters.
        optimizer: Gives its state.
        seed: Of the run.
        start: From fresh parameters to those that training starts from.
    """
    seed_array = jnp.asarray(np.uint32(seed % 2**32).view(np.int32))
    params = start(jax.jit(task.init)(jax.random.fold_in(jax.random.key(seed_array), 0)))
    state: TrainState = on_device(
        TrainState(
            params=params,
            opt_state=optimizer.init(params),
            carry=task.initial_carry(),
            step=jnp.zeros((), jnp.int32),
            seed=seed_array,
        )
    )
    return state


def on_device(tree: Any) -> Any:
    """Arrays in the form in which a step takes and gives them: anything else would be compiled for anew.

    They are bound to a device, have a type of their own (weakly typed ones do not), and share no buffer, since each
    buffer can be donated once only.
    """
    return jax.device_put(jax.tree.map(lambda array: jnp.array(array, array.dtype), tree), jax.local_devices()[0])


def step_key(state: TrainState) -> Key:
    """The key of the step that is about to be taken: a pure function of the seed and the step."""
    # 0 was for the initial weights.
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(state.seed), 1), state.step)


@contextlib.contextmanager
def optax_promotion() -> Iterator[None]:
    """Where optax computes: it multiplies counts and floats freely, and our own code may be checked more strictly."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@dataclass(frozen=True)
class DeterministicOptimizer:
    """An optax transformation as an `Optimizer`: its gradients are taken at the parameters themselves."""

    transformation: optax.GradientTransformation
    schedule: Callable[[Any], Any] | None = None
    """Steps taken to learning rate, for the log; None if unknown."""

    def init(self, params: Any) -> Any:
        return self.transformation.init(params)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        transformation = optax.with_extra_args_support(self.transformation)
        with optax_promotion():
            result: tuple[Any, Any] = transformation.update(updates, state, params, **extra)
        return result

    def sample_params(self, params: Any, state: Any, *, key: Key) -> Any:
        return params

    def eval_params(self, params: Any, state: Any) -> Any:
        return params


def as_optimizer(made: Any) -> Optimizer:
    """What an optimizer factory returned, as an `Optimizer`; a plain optax transformation is wrapped."""
    if hasattr(made, "sample_params") and hasattr(made, "eval_params"):
        optimizer: Optimizer = made
        return optimizer
    return DeterministicOptimizer(made)


__all__ = [
    "FIXED",
    "DeterministicOptimizer",
    "Metrics",
    "TrainState",
    "as_optimizer",
    "initial_state",
    "on_device",
    "optax_promotion",
    "step_key",
]
