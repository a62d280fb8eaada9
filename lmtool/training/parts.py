"""What the training loop works with, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.api import Optimizer, Task, TextEvaluator, Tracker
    from lmtool.config import TrainingConfig
    from lmtool.run import Run
    from lmtool.training.agreement import Agreement
    from lmtool.training.checkpoint import Checkpoints
    from lmtool.training.placement import Placement
    from lmtool.training.processes import Processes
    from lmtool.training.state import TrainState
    from lmtool.training.validation import Validation


class Report(Protocol):
    """Where progress is shown."""

    def __call__(self, phase: str, fraction: float, **fields: str) -> None: ...


@dataclass
class LoopState:
    """What the loop knows besides the arrays; saved with each checkpoint."""

    step: int = 0
    """Steps whose metrics have been read."""
    validated_step: int = -1
    best_value: float | None = None
    """Lowest objective of a validation so far; see `lmtool.training.validation`."""
    best_figures: dict[str, float] = field(default_factory=dict)
    """Of that validation."""
    best_step: int | None = None
    validations_without_gain: int = 0
    elapsed: float = 0.0
    """Seconds of training, over all restarts."""
    losses: list[float] = field(default_factory=list)
    """Of the steps since the last line in the log."""
    num_targets: list[int] = field(default_factory=list)
    log_size: int = 0
    """Bytes of metrics.jsonl."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LoopState:
        """Raises DataError if an entry is missing."""
        try:
            return cls(**{one.name: values[one.name] for one in fields(cls)})
        except KeyError as error:
            raise DataError(f"the checkpoint's loop.json lacks {error}") from None


@dataclass(frozen=True)
class Learner:
    """What takes steps, whatever they are for."""

    task: Task
    optimizer: Optimizer
    step: Callable[[Any, Any], tuple[Any, Any]]
    """See `Parts`."""
    placement: Placement
    seed: int
    start: Callable[[Any], Any]
    """From fresh parameters to those that training starts from."""
    reward: TextEvaluator | None = None
    """What judges texts, where the task learns from that."""

    def initial_state(self) -> TrainState:
        """The state before the first step, on one device."""
        from lmtool.training.state import initial_state

        return initial_state(self.task, self.optimizer, self.seed, self.start)

    def new_carry(self) -> Any:
        """The carry at the start of an epoch, where it belongs."""
        return self.placement.place_carry(self.task.initial_carry())

    def fixed(self, params: Any) -> dict[str, Any]:
        """What each batch holds besides, where it belongs: the task's `fixed`, if it has any.

        Args:
            params: Those that training starts from, on the devices.
        """
        from lmtool.training.state import FIXED

        make = getattr(self.task, "fixed", None)
        fixed = () if make is None else self.placement.place_fixed(make(params))
        return {} if fixed == () else {FIXED: fixed}


@dataclass(frozen=True)
class Parts:
    """What the loop works with."""

    task: Task
    optimizer: Optimizer
    step: Callable[[Any, Any], tuple[Any, Any]]
    """Compiled: `(state, batch) -> (state, metrics)`; `several_steps` of it if a dispatch may have more than one."""
    placement: Placement
    """Where arrays lie."""
    new_carry: Callable[[], Any]
    """The carry at the start of an epoch."""
    fixed: Callable[[Any], dict[str, Any]]
    """From the parameters that training starts from to what each batch holds besides."""
    config: TrainingConfig
    run: Run
    checkpoints: Checkpoints
    validate: Validation | None
    """None if there is nothing to validate on."""
    trackers: list[Tracker]
    report: Report
    stop: Agreement
    processes: Processes


__all__ = ["Learner", "LoopState", "Parts", "Report"]
