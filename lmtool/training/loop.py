"""The host's side of training: steps, metrics, validation, checkpoints, and when to stop.

The device is never waited for without need: at most two dispatches are under way, a thread makes the batches of those
to come, and the metrics of many steps are fetched together when it is time to show them.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.errors import DivergedError, Interrupted, PluginError
from lmtool.evaluation import DamagedModelError
from lmtool.heap import give_back
from lmtool.training.around import is_variational, observed, rate_factor
from lmtool.training.clock import Clock
from lmtool.training.dispatch import Dispatch, dispatches, made_ahead, stacked
from lmtool.training.metrics_log import MAX_LOSS, MetricsLog
from lmtool.training.parts import LoopState
from lmtool.training.validation import objective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Classifier, LanguageModel
    from lmtool.config import TrainingConfig
    from lmtool.training.parts import Parts
    from lmtool.training.validation import Validation


MAX_UNREAD = 64
"""Dispatches whose metrics may wait to be fetched."""


class TrainingLoop:
    """Trains until it is done, from where the last checkpoint stands.

    Args:
        parts: What it works with.
        state: What training starts from where there is no checkpoint yet.
    """

    def __init__(self, parts: Parts, state: Any) -> None:
        self.parts = parts
        self.config = parts.config
        self.state = state
        self.loop = LoopState()
        self.log = MetricsLog(parts.run.path / "metrics.jsonl", writes=parts.processes.is_first)
        self.clock = Clock()
        self.total_steps = total_steps(parts.config, parts.task.steps_per_epoch)
        self.eval_every = parts.config.eval_every or parts.task.steps_per_epoch
        self._pending: list[tuple[int, Any]] = []
        """Dispatches whose metrics have not been read: number of steps, metrics."""
        self._logged_loss = math.nan
        self._rate_factor = 1.0
        self._saved_step: int | None = None
        self._fixed = parts.fixed(state.params)

    def run(self) -> LoopState:
        """Train to the end.

        Raises:
            Interrupted: if a signal asked to stop; everything is saved.
            DivergedError: if the loss is no longer finite.
        """
        self._restore()
        self.clock.start(self.loop.elapsed)
        self._at_boundary()  # a validation that a signal put off
        with made_ahead(self._batch, self._plan()) as batches:
            while not self._is_over():
                self._stop_if_asked()
                self._dispatch(*next(batches))
                self._at_boundary()
        self._stop_if_asked()
        self._finish()
        return self.loop

    # Steps ------------------------------------------------------------------------------------------------------------

    def _plan(self) -> Iterator[Dispatch]:
        """What is left to do, unless training ends early."""
        stops = (self.parts.task.steps_per_epoch, self.eval_every, self.config.checkpoint_every)
        return dispatches(self.loop.step, self.total_steps, most=self.config.steps_per_dispatch, stops=stops)

    def _batch(self, dispatch: Dispatch) -> tuple[Dispatch, Any]:
        """The argument of the step; called in a thread."""
        batches = [self.parts.task.batch(dispatch.first + number) for number in range(dispatch.num_steps)]
        most = self.config.steps_per_dispatch
        if most == 1:
            return dispatch, {**self.parts.placement.place_batch(batches[0], stacked=False), **self._fixed}
        return dispatch, (
            self.parts.placement.place_batch(stacked(batches, most), stacked=True),
            np.int32(dispatch.num_steps),
            self._fixed,
        )

    def _dispatch(self, dispatch: Dispatch, batch: Any) -> None:
        """Start steps, then wait for those before them, not for these."""
        if dispatch.first % self.parts.task.steps_per_epoch == 0:
            self.state = self.state._replace(carry=self.parts.new_carry())
        shape = tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))
        if compiles := self.clock.will_compile(shape):
            self.parts.report("compiling", self._fraction())
        with self.clock.compiling(shape), self.parts.placement.ambient():
            self.state, metrics = self.parts.step(self.state, batch)
        if compiles:
            give_back()
        self.parts.stop.exchange()
        self._pending.append((dispatch.num_steps, metrics))
        # All processes read at the same step, so that a loss that is not finite ends them at the same step.
        is_time = self.parts.processes.count == 1 and self.clock.is_time_to_show()
        if is_time or len(self._pending) > MAX_UNREAD:
            self._read(all_but=1)
        elif len(self._pending) > 1:
            jax.block_until_ready(self._pending[-2][1])  # type: ignore[no-untyped-call]

    @property
    def _dispatched(self) -> int:
        return self.loop.step + sum(count for count, _ in self._pending)

    def _read(self, *, all_but: int = 0) -> None:
        """Note what steps say of themselves; waits for them. The newest `all_but` dispatches are left for later."""
        ready, self._pending = self._pending[: -all_but or None], self._pending[len(self._pending) - all_but :]
        if not ready:
            return
        found = jax.device_get([tuple(metrics) for _, metrics in ready])
        columns = [
            np.concatenate([np.atleast_1d(one[index])[:count] for one, (count, _) in zip(found, ready, strict=True)])
            for index in range(3)
        ]
        self.clock.count(int(columns[1].sum()), len(columns[1]))
        for loss, num_targets, grad_norm in zip(*columns, strict=True):
            self._note_step(float(loss), int(num_targets), float(grad_norm))
        self._show()

    def _note_step(self, loss: float, num_targets: int, grad_norm: float) -> None:
        self.loop.step += 1
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            for failure in getattr(self.parts.task, "failures", ()):
                raise self.parts.processes.of_all(failure)
            raise self._diverged(f"the loss is {loss:g} and the gradient's norm {grad_norm:g} at step {self.loop.step}")
        self.loop.losses.append(loss)
        self.loop.num_targets.append(num_targets)
        if self.loop.step % self.config.log_every == 0:
            self._log_losses()

    def _diverged(self, what: str) -> DivergedError:
        steps = self.parts.checkpoints.steps()
        kept = f"the checkpoint of step {steps[-1]} is kept; " if steps else ""
        hint = f"{kept}try a lower optimizer.learning_rate or training.max_grad_norm"
        return self.parts.processes.of_all(DivergedError(what, hint))

    def _show(self) -> None:
        if not self.clock.is_time_to_show():
            return
        self.clock.shown()
        loss = _mean(self.loop.losses, self.loop.num_targets) if self.loop.losses else self._logged_loss
        unit = getattr(self.parts.task, "unit", "tokens")
        shown = {"loss": f"{loss:.3f}", f"{unit}/s": f"{self.clock.tokens_per_second:,.0f}"}
        left = (self.total_steps - self.loop.step) * self.clock.seconds_per_step
        if self.config.max_minutes:
            left = min(left, self.config.max_minutes * 60 - self.clock.elapsed())
        shown["left"] = str(timedelta(seconds=max(0, round(left))))
        self.parts.report("training", self._fraction(), **shown)

    def _fraction(self) -> float:
        """Of the limit, steps or time, that comes first."""
        steps = self.loop.step / self.total_steps
        if not self.config.max_minutes:
            return steps
        return min(1.0, max(steps, self.clock.elapsed() / (self.config.max_minutes * 60)))

    def _log_losses(self) -> None:
        if not self.loop.losses:
            return
        self._logged_loss = _mean(self.loop.losses, self.loop.num_targets)
        values = {"loss": self._logged_loss}
        if (rate := self._learning_rate()) is not None:
            values["learning_rate"] = rate
        timing = {
            f"{getattr(self.parts.task, 'unit', 'tokens')}_per_second": self.clock.tokens_per_second,
            "compile_seconds": self.clock.compile_seconds_once(),
        }
        self._log("train", values, timing)
        self.loop.losses, self.loop.num_targets = [], []
        self.clock.lap()

    def _learning_rate(self) -> float | None:
        """Of the last step, where the optimizer tells."""
        schedule = getattr(self.parts.optimizer, "schedule", None)
        return None if schedule is None else float(schedule(self.loop.step - 1)) * self._rate_factor

    def _log(self, kind: str, values: dict[str, float], timing: dict[str, float | None]) -> None:
        step = self.loop.step
        epoch = step / self.parts.task.steps_per_epoch
        timing = {**timing, "elapsed_seconds": self.clock.elapsed()}
        self.log.append({"kind": kind, "step": step, "epoch": round(epoch, 4), **values}, timing)
        for tracker in self.parts.trackers:
            tracker.log(step, {f"{kind}/{name}": value for name, value in values.items()})

    # Validation and checkpoints ---------------------------------------------------------------------------------------

    def _at_boundary(self) -> None:
        step = self._dispatched
        if step and step % self.eval_every == 0:
            self._validate()
        if step % self.config.checkpoint_every == 0 and step:
            self._save()

    def _validate(self) -> None:
        """Validate, unless that is done, and keep the model if it is the best so far; a signal puts it off."""
        self._read()
        if self.loop.validated_step == self.loop.step:
            return
        with self.clock.paused(), contextlib.suppress(_PutOff):
            weights = self.parts.optimizer.eval_params(self.state.params, self.state.opt_state)
            model = self.parts.task.predictor(self.parts.placement.on_one_device(weights))
            self._note_validation(model, self._figures(model))

    def _figures(self, model: LanguageModel | Classifier) -> dict[str, float] | None:
        """Of validation; None if there is nothing to validate on: then the last model counts as the best."""
        if self.parts.validate is None:
            self._check_weights()
            return None

        def report(fraction: float) -> None:
            self.parts.report("validating", fraction)
            if self.parts.stop.local_signal_name:
                raise _PutOff

        def measure(validate: Validation) -> dict[str, float] | None:
            try:
                return validate(model, report)
            except DamagedModelError:
                return {"loss": math.nan}
            except _PutOff:
                return None

        self.parts.report("validating", 0.0)  # the first window may have to be compiled
        validate = self.parts.validate
        figures: dict[str, float] | None = self.parts.processes.first(lambda: measure(validate))
        if figures is None:
            self.parts.stop.stop_now()
            raise _PutOff
        if not figures["loss"] < MAX_LOSS:
            raise self._diverged(f"the validation loss is {figures['loss']:g} at step {self.loop.step}")
        for name, value in figures.items():
            if not math.isfinite(value):
                what = f"validation gives {name} = {value:g} at step {self.loop.step}"
                raise self.parts.processes.of_all(PluginError(what, "training.evaluators names what gives it"))
        return figures

    def _check_weights(self) -> None:
        """Where no validation would show it: the loss is that of before the last update."""
        weights = self.parts.placement.on_one_device(self.state.params)
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(weights)):
            raise self._diverged(f"a weight is not finite after step {self.loop.step}")

    def _note_validation(self, model: LanguageModel | Classifier, figures: dict[str, float] | None) -> None:
        loop = self.loop
        value = None if figures is None else objective(figures, self.config.monitor)
        if value is not None:
            opt_state = observed(self.parts.optimizer, self.state.opt_state, value)
            self.state = self.state._replace(opt_state=opt_state)
            self._read_rate_factor()
        is_best = value is None or loop.best_value is None or value < loop.best_value
        loop.validated_step = loop.step
        loop.validations_without_gain = 0 if is_best else loop.validations_without_gain + 1
        if figures is not None:
            self._log("valid", figures, {})
        if is_best:
            loop.best_value, loop.best_figures, loop.best_step = value, figures or {}, loop.step
            posterior = self._posterior()
            self.parts.processes.first(lambda: self.parts.run.write_model(model, posterior))
            self._save()

    def _posterior(self) -> Any:
        """Standard deviations of the weights, where the optimizer knows of such."""
        optimizer = self.parts.optimizer
        if not is_variational(optimizer):
            return None
        return self.parts.placement.on_one_device(optimizer.posterior(self.state.params, self.state.opt_state))

    def _save(self) -> None:
        self._read()
        if self._saved_step == self.loop.step:
            return
        with self.clock.paused():
            self.loop.elapsed = self.clock.elapsed()
            self.loop.log_size = self.log.size()
            self.parts.checkpoints.save(self.loop.step, self.state, asdict(self.loop), keep=[self.loop.best_step])
        self._saved_step = self.loop.step

    def _restore(self) -> None:
        restored = self.parts.checkpoints.restore(self.state)
        if restored:
            self.state, values = restored
            self.loop = LoopState.from_json(values)
            self._saved_step = self.loop.step
            self._read_rate_factor()
        self.log.truncate(self.loop.log_size)

    def _read_rate_factor(self) -> None:
        """From the optimizer's state; only validations change it, so the log need not wait for a step."""
        factor = rate_factor(self.parts.optimizer, self.state.opt_state)
        self._rate_factor = float(self.parts.placement.on_one_device(factor))

    # The end ----------------------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        if self._dispatched >= self.total_steps:
            return True
        if self.config.patience and self.loop.validations_without_gain >= self.config.patience:
            return True
        is_time_up = bool(self.config.max_minutes and self.clock.elapsed() >= self.config.max_minutes * 60)
        return self.parts.stop.time_is_up(is_time_up)

    def _stop_if_asked(self) -> None:
        if self.parts.stop.signal_name:
            self._save()
            where = f"at step {self.loop.step} of {self.total_steps}"
            what = f"stopped by {self.parts.stop.signal_name} {where}; everything is saved"
            raise self.parts.processes.of_all(Interrupted(what, hint="run the same command to go on"))

    def _finish(self) -> None:
        self._read()
        self._log_losses()
        self._validate()
        self._stop_if_asked()
        self._save()


class _PutOff(Exception):
    """A signal came during validation."""


def total_steps(config: TrainingConfig, steps_per_epoch: int) -> int:
    """Steps that training takes unless it is stopped before."""
    steps = config.epochs * steps_per_epoch
    return min(steps, config.max_steps) if config.max_steps else steps


def _mean(losses: list[float], num_targets: list[int]) -> float:
    """Per target, in step order, so that a resumed run adds up the same numbers in the same order."""
    pairs = zip(losses, num_targets, strict=True)
    return sum(loss * count for loss, count in pairs) / max(1, sum(num_targets))


__all__ = ["TrainingLoop", "total_steps"]
