"""What takes the steps that a config asks for, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool.config import choose_inline
from lmtool.data.encoding import available_cores
from lmtool.errors import ConfigError
from lmtool.jax_setup import make_cpu_devices, prepare_jax
from lmtool.tasks.fitted import predicted_by
from lmtool.training.judges import reward_judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import Optimizer, Task
    from lmtool.config import RunConfig, TrainingConfig
    from lmtool.data.dataset import Dataset
    from lmtool.devices import DeviceOptions
    from lmtool.registry import Registry
    from lmtool.training.layerwise import Scaling
    from lmtool.training.parts import Learner
    from lmtool.training.processes import Processes


def make_learner(
    config: RunConfig,
    dataset: Dataset,
    registry: Registry,
    warn: Callable[[str], None],
    *,
    devices: DeviceOptions,
    processes: Processes,
    scaling: Scaling | None = None,
) -> Learner:
    """What takes the steps that a config asks for; see `lmtool.training.train` for the arguments.

    Args:
        scaling: What becomes of each update besides, on top of what the config says.
    """
    if number := devices.devices or _cpu_devices(config, processes):
        make_cpu_devices(number)
    prepare_jax()
    from lmtool.training.layerwise import plan_layers
    from lmtool.training.parts import Learner
    from lmtool.training.penalties import penalised
    from lmtool.training.placement import Placement, choose_devices
    from lmtool.training.transfer import starting_point

    training = config.training
    chosen = choose_devices(devices, training.batch_size, warn)
    placement = Placement(chosen, shard_params=devices.shard_params)
    backbone = config.model.load()(config.model.config)
    made_with = {"dataset": dataset, "backbone": backbone, "training": training, **_augment(config, dataset, registry)}
    if config.encoder is not None:
        made_with["encoder"] = config.encoder.load()(config.encoder.config)
    if (reward := reward_judge(config.task, registry)) is not None:
        made_with["reward"] = reward
    task = config.task.load()(config.task.config, **made_with)
    if (divisor := getattr(task, "rows_divisor", None)) is not None and divisor % placement.size:
        warn(
            f"{placement.size} devices compute some batches each for itself: these have multiples of {divisor} rows, "
            f"which so many cannot always share; `--devices {divisor}` can, and training.batch_size sets another number"
        )
    start = starting_point(config, task, registry, dataset)
    layers = plan_layers(training, task)
    optimizer = _optimizer(config, task, [one for one in (layers, scaling) if one is not None])
    loss = penalised(task.loss, training)
    loss = placement.loss(layers.loss(loss) if layers else loss)
    step = placement.step(_step(training, registry, loss, optimizer))
    return Learner(task, optimizer, step, placement, training.seed, start, reward)


MOST_CPU_DEVICES = 4


def _cpu_devices(config: RunConfig, processes: Processes) -> int:
    """How many devices a CPU is for documents, where nobody says: its cores, as far as they share a batch evenly.

    A recurrent network's steps over a document are products too small for XLA to share among cores; shares of the
    batch are not. Not so in language modelling, whose products are large, and so are gradients to be added up.
    """
    if processes.count > 1 or predicted_by(config.task) == "tokens":
        return 1
    most = min(MOST_CPU_DEVICES, available_cores())
    rows = config.training.batch_size // config.training.micro_batches
    return max(number for number in range(1, most + 1) if rows % number == 0)


def _augment(config: RunConfig, dataset: Dataset, registry: Registry) -> dict[str, Any]:
    """What a task of documents is given besides. Raises ConfigError if there are augmentations for another one."""
    from lmtool.training.augmentation import make_augmentations

    if predicted_by(config.task) == "classes":
        return {"augment": make_augmentations(config.training.augment, dataset, registry)}
    if config.training.augment:
        raise ConfigError(
            f"training.augment changes documents to be classified, and task '{config.task.name}' has none"
        )
    return {}


def _optimizer(config: RunConfig, task: Task, scalings: Sequence[Scaling]) -> Optimizer:
    from lmtool.training.averaging import ExponentialAverage
    from lmtool.training.layerwise import Layerwise, Together
    from lmtool.training.loop import total_steps
    from lmtool.training.plateau import with_plateau
    from lmtool.training.state import as_optimizer

    chosen, decay = config.optimizer, config.training.ema_decay
    assert chosen is not None
    steps = total_steps(config.training, task.steps_per_epoch)
    made = chosen.load()(chosen.config, total_steps=steps, num_data=task.num_data)
    optimizer = with_plateau(as_optimizer(made), chosen.config)
    if scalings:
        optimizer = Layerwise(optimizer, scalings[0] if len(scalings) == 1 else Together(tuple(scalings)))
    return optimizer if decay is None else ExponentialAverage(optimizer, decay)


def _step(training: TrainingConfig, registry: Registry, loss: Callable[..., Any], optimizer: Optimizer) -> Any:
    """The compiled step, or several of them as one function."""
    from lmtool.training.dispatch import several_steps

    chosen = choose_inline("step", training.step, registry, "training.step")
    step = chosen.load()(
        chosen.config,
        loss,
        optimizer,
        max_grad_norm=training.max_grad_norm,
        micro_batches=training.micro_batches,
    )
    return step if training.steps_per_dispatch == 1 else several_steps(step, training.steps_per_dispatch)


__all__ = ["make_learner"]
