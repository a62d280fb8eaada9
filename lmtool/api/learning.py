"""The contracts of what takes steps: tasks, optimizers and the compiled step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np

    from lmtool.api.models import Backbone, LanguageModel
    from lmtool.array_types import Key


class Task(Protocol):
    """What is learned. Made by `target(config, dataset=…, backbone=…, training=…)`; see `lmtool.tasks`.

    With the capability `classes`, `predictor` and `load` give a `Classifier` in the place of a `LanguageModel`. A task
    may also have `param_depths(params)`, a pytree like `params` of whole numbers: 0 for what lies nearest to the input,
    most for the head. It is what layer-wise learning rates and unfreezing go by.

    And it may have `fixed(params)`, made from the parameters that training starts from: a pytree of arrays that never
    change, which `loss` finds in `batch["fixed"]`, whole also where a batch is shared or parted. A resumed run makes it
    anew. It is no part of the compiled step, of checkpoints, or of what the optimizer sees.

    One that asks the host for something in the middle of a step, as rewards are, may have `failures`: exceptions from
    there, which are raised in the place of a loss that is not finite.

    One that chooses itself how many rows a batch has says by `rows_divisor` what divides them all.

    A language modelling task with the capability `reward` has `reward_on(split)`: from parameters to the mean
    judgement of what the model writes, by which a validation picks the best.
    """

    num_data: int
    """Training targets in one epoch: tokens; documents, of which it then says so by `unit = "documents"`."""

    def init(self, key: Key) -> Any:
        """Fresh parameters: a pytree of float32 arrays, a pure function of `key`."""
        ...

    def initial_carry(self) -> Any:
        """The carry at the start of an epoch; `()` if windows are independent."""
        ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int) -> Mapping[str, np.ndarray]:
        """The training batch of a step, counted from 0: a pure function of the seed and the step."""
        ...

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """Mean loss over the batch's unmasked targets, in nats, and `(new carry, number of targets)`. Traceable."""
        ...

    def predictor(self, params: Any) -> LanguageModel:
        """The trained model with these parameters."""
        ...

    @classmethod
    def load(cls, folder: Path, config: Any, *, backbone: Backbone) -> LanguageModel:
        """What the `save` of a predictor wrote. Raises DataError if it is damaged."""
        ...


class Optimizer(Protocol):
    """Gradient to update: optax's `init` and `update`, and how weights are sampled and averaged.

    It may also have `rescales = True`: then `update` takes `rescale`, a function of updates to updates that scales them
    leaf by leaf, as layer-wise rates do, for an optimizer that must know how the weights really move.

    It may also have `observe(state, value) -> state`, called after each validation with the figure that
    `training.monitor` names, so turned that the lowest is best, and `schedule(steps)`, the learning rate after so many
    steps, for the log; where validations lower it, `rate_factor(state)` tells by what it is then multiplied.
    """

    def init(self, params: Any) -> Any: ...

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]: ...

    def sample_params(self, params: Any, state: Any, *, key: Key) -> Any:
        """The weights at which the gradient is taken; the parameters themselves by default."""
        ...

    def eval_params(self, params: Any, state: Any) -> Any:
        """The weights to evaluate and to ship; the parameters themselves by default."""
        ...


class VariationalOptimizer(Optimizer, Protocol):
    """One that keeps a Gaussian over the weights and takes gradients at samples of it.

    Each part of a batch (`training.micro_batches`) has a sample of its own, and `update` is given `curvature`, the mean
    of what `curvature` says of them.
    """

    variational: bool
    """True."""

    def curvature(self, grads: Any, params: Any, weights: Any, state: Any) -> Any:
        """What a gradient says of the diagonal of the loss's curvature: a pytree like the parameters.

        Args:
            grads: Taken at `weights`.
            params: The mean of the Gaussian.
            weights: From `sample_params`.
            state: Of the optimizer, before the step.
        """
        ...

    def posterior(self, params: Any, state: Any) -> Any:
        """The standard deviation of each weight around `eval_params`, a pytree like them; kept beside the model."""
        ...


class OptimizerFactory(Protocol):
    """The target of an optimizer component."""

    def __call__(self, config: Any, *, total_steps: int, num_data: int) -> Any:
        """An `Optimizer`, or a plain `optax.GradientTransformation`.

        Args:
            config: Of the component's config class.
            total_steps: Steps that the whole training will take; for schedules.
            num_data: Training targets in one epoch; for variational methods.
        """
        ...


class StepFactory(Protocol):
    """The target of a step component: compiles loss and optimizer into one update on the device."""

    def __call__(
        self,
        config: Any,
        loss: Callable[..., Any],
        optimizer: Optimizer,
        *,
        max_grad_norm: float | None,
        micro_batches: int,
    ) -> Any:
        """`step(state, batch) -> (state, metrics)`, jit-compiled once; see `lmtool.training.state`.

        Args:
            config: Of the component's config class.
            loss: `Task.loss`.
            optimizer: Whose gradients are taken at `sample_params`.
            max_grad_norm: Global norm to which gradients are scaled down; None to leave them.
            micro_batches: Parts of a batch's rows that are processed one after another; divides their number.
        """
        ...
