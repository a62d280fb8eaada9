"""The search itself: trials as child processes, several at a time, each of them an ordinary `lmtool train`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lmtool.errors import ConfigError, ExitCode, Interrupted, LmtoolError
from lmtool.files import write_atomic
from lmtool.run import Run
from lmtool.training.validation import objective
from lmtool.tuning.record import Point, Trial
from lmtool.tuning.report import figure
from lmtool.tuning.suggest import is_hopeless, suggest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmtool.config import RunConfig
    from lmtool.registry import Registry
    from lmtool.signals import StopRequest
    from lmtool.training.parts import Report
    from lmtool.tuning.record import Record
    from lmtool.tuning.space import Space

POLL = 0.1
"""Seconds between two looks at the trials."""
WRITE_EVERY = 20.0
"""Seconds of search that a killed one forgets at most."""
MOST_FAILURES = 3
"""Trials that fail one after the other before the search gives up: it is not their settings."""
MOST_REFUSALS = 20
"""Trials one after the other whose settings do not go together before the search gives up."""


@dataclass(frozen=True)
class Limits:
    """When a search is over, and how much of the machine it takes."""

    seconds: float | None
    """Of search, over all restarts."""
    trials: int | None
    """In all; whatever they came to."""
    jobs: int = 1
    """Trials at a time."""


@dataclass(frozen=True)
class Setup:
    """What is searched."""

    config_of: Callable[[dict[str, Any]], RunConfig]
    """The config with settings put into it; raises ConfigError."""
    first: dict[str, Any]
    """The searched settings as the config has them."""
    space: Space
    seed: int
    monitor: str
    registry: Registry
    options: tuple[str, ...] = ()
    """Of `lmtool` itself, for the trainings."""
    program: tuple[str, ...] = (sys.executable, "-m", "lmtool.tuning.child")
    """What trains: see `lmtool.tuning.child`."""


@dataclass
class Running:
    """A trial's training."""

    process: subprocess.Popen[bytes]
    slot: int
    began: float
    before: float
    """Seconds that it had taken until then."""
    size: int = -1
    """Bytes of its metrics that have been read."""
    judged: int = 0
    """Validations after which it was decided that it goes on."""
    stopped: bool = False
    """Whether we have asked it to end."""


class Search:
    """Trains trials until the limits are reached.

    Args:
        record: Changed, and written at each change.
        setup: What is searched.
        limits: How long.
        stop: Looked at now and then.
        report: Told how far it is.
        say: Told what trials came to.
    """

    def __init__(
        self,
        record: Record,
        setup: Setup,
        limits: Limits,
        *,
        stop: StopRequest,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self.record, self.setup, self.limits = record, setup, limits
        self.stop, self.report, self.say = stop, report, say
        self.running: dict[int, Running] = {}
        self._failures = self._refusals = 0
        self._is_exhausted = False
        self._written = self._began = time.monotonic() - record.elapsed

    def run(self) -> None:
        """Search to the end.

        Raises:
            Interrupted: if a signal asked to stop; everything is saved.
            LmtoolError: if trials fail one after the other, or have settings that do not go together.
        """
        self.record.retry_failed()
        try:
            while True:
                self._look()
                if self.stop.signal_name or self._is_time_up():
                    break
                self._start_trials()
                if not self.running:
                    break
                time.sleep(POLL)
        finally:
            self._end_all()
        if self.stop.signal_name:
            done = sum(one.state != "started" for one in self.record.trials)
            what = f"stopped by {self.stop.signal_name} after {done} of {len(self.record.trials)} trials; all is saved"
            raise Interrupted(what, hint="run the same command to go on")

    # Beginning --------------------------------------------------------------------------------------------------------

    def _start_trials(self) -> None:
        while len(self.running) < self.limits.jobs and (trial := self._next()):
            self._start(trial)

    def _next(self) -> Trial | None:
        """One that was interrupted, or a new one; None if there are enough."""
        for trial in self.record.trials:
            if trial.state == "started" and trial.number not in self.running:
                return trial
        number = len(self.record.trials)
        if self._is_exhausted or (self.limits.trials is not None and number >= self.limits.trials):
            return None
        settings = suggest(self.setup.space, self.setup.seed, self.record.trials, self.setup.first)
        if settings is None:
            self._is_exhausted = True
            self.say(f"all combinations have been tried: {number}")
            return None
        trial = Trial(number, settings)
        self.record.put(trial)
        return trial

    def _start(self, trial: Trial) -> None:
        file = self.record.config(trial)
        try:
            write_atomic(file, self.setup.config_of(trial.settings).to_toml())
        except ConfigError as error:  # each setting alone was right
            self._settle(replace(trial, state="refused", reason=error.message))
            return
        slot = min(set(range(self.limits.jobs)) - {one.slot for one in self.running.values()})
        arguments = [*self.setup.options, "train", str(file), "-o", str(self.record.run(trial)), "--quiet"]
        place = [share_of_cores(slot, self.limits.jobs), str(os.getpid())]
        with self.record.log(trial).open("ab") as log:
            process = subprocess.Popen(
                [*self.setup.program, *place, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_environment(self.limits.jobs),
                start_new_session=True,  # Ctrl-C comes to us alone, and we tell them
            )
        judged = max(0, len(trial.points) - 1)
        self.running[trial.number] = Running(process, slot, time.monotonic(), trial.seconds, judged=judged)

    # Looking ----------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read what trials say of themselves, stop those that get nowhere, and note which have ended."""
        for number, running in list(self.running.items()):
            code = running.process.poll()  # before its last words are read
            self._read(number, running)
            if code is not None:
                del self.running[number]
                self._note_end(number, running, code)
        self._show()
        if time.monotonic() - self._written > WRITE_EVERY:
            self._write()

    def _read(self, number: int, running: Running) -> None:
        """Note what is new in a trial's log."""
        trial = self.record.trials[number]
        file = self.record.run(trial) / "metrics.jsonl"
        with contextlib.suppress(FileNotFoundError):
            size = file.stat().st_size
            if size != running.size and trial.state == "started":
                running.size = size
                self._note_points(trial, running, *points_of(file, self.setup.monitor))

    def _note_points(self, trial: Trial, running: Running, points: list[Point], last_step: int) -> None:
        """Judge validations one after the other, so that it does not matter how often we look.

        A trial is given up only once it has gone on after the validation: after the last one there is nothing to save.
        """
        now = replace(trial, points=tuple(points)) if len(points) > len(trial.points) else trial
        while running.judged < len(points) and points[running.judged].step < last_step:
            running.judged += 1
            seen = replace(now, points=tuple(points[: running.judged]))
            if is_hopeless(seen, self.record.trials):
                now = replace(seen, state="pruned")
                _ask_to_end(running)
                break
        if now != trial:
            self.record.put(now)

    def _note_end(self, number: int, running: Running, code: int) -> None:
        trial = self.record.trials[number]
        trial = replace(trial, seconds=running.before + time.monotonic() - running.began)
        if trial.state == "started" and not (running.stopped and code != ExitCode.OK):
            trial = self._judged(trial, code)
        self._settle(trial)

    def _settle(self, trial: Trial) -> None:
        """Note what a trial came to, or that it is interrupted."""
        self.record.elapsed = self._elapsed()
        self.record.put(trial)
        if trial.state != "started":
            self._tell(trial)
        self._failures = self._failures + 1 if trial.state == "failed" else 0
        self._refusals = self._refusals + 1 if trial.state == "refused" else 0
        if self._failures >= MOST_FAILURES:
            raise LmtoolError(
                f"{self._failures} trials failed one after the other, the last one: {trial.reason}",
                hint=f"{self.record.log(trial)} has all it said; the same command tries them again",
            )
        if self._refusals >= MOST_REFUSALS:
            raise ConfigError(
                f"the settings of {self._refusals} trials one after the other do not go together: {trial.reason}",
                hint="search values that do, in another folder",
            )

    def _judged(self, trial: Trial, code: int) -> Trial:
        """A trial that ended by itself."""
        if code == ExitCode.OK and Run.open(self.record.run(trial), self.setup.registry).is_finished:
            return replace(trial, state="finished")
        if code == ExitCode.DIVERGED:
            return replace(trial, state="diverged", reason=last_error(self.record.log(trial)))
        reason = last_error(self.record.log(trial)) or (
            f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        )
        return replace(trial, state="failed", reason=reason)

    def _tell(self, trial: Trial) -> None:
        best = trial.best
        what = trial.reason or trial.state
        if best is not None:
            what = f"{self.setup.monitor} {figure(best.value, self.setup.monitor):.5g}"
            what += "" if trial.state == "finished" else f" ({trial.state})"
        settings = ", ".join(f"{key} {value}" for key, value in trial.settings.items())
        self.say(f"trial {trial.number}: {what}; {settings}")

    def _show(self) -> None:
        best = next((one.best for one in self.record.ranked()[:1]), None)
        fields = {"best": f"{figure(best.value, self.setup.monitor):.5g}"} if best else {}
        running = ", ".join(map(str, sorted(self.running))) or "–"
        self.report(f"trial {running}", self._fraction(), **fields)

    # The end ----------------------------------------------------------------------------------------------------------

    def _fraction(self) -> float:
        """Of the limit that comes first."""
        done = sum(one.state != "started" for one in self.record.trials)
        by_trials = done / self.limits.trials if self.limits.trials else 0.0
        by_time = self._elapsed() / self.limits.seconds if self.limits.seconds else 0.0
        return min(1.0, max(by_trials, by_time))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _is_time_up(self) -> bool:
        return self.limits.seconds is not None and self._elapsed() >= self.limits.seconds

    def _write(self) -> None:
        self._written = time.monotonic()
        self.record.elapsed = self._elapsed()
        self.record.write()

    def _end_all(self) -> None:
        """Let trainings save and end; a second Ctrl-C, or a failure here, ends them at once."""
        try:
            for running in self.running.values():
                _ask_to_end(running)
            while self.running:
                self._look()
                time.sleep(POLL)
        finally:
            for running in self.running.values():
                running.process.kill()
                running.process.wait()
            self._write()


def _ask_to_end(running: Running) -> None:
    running.stopped = True
    running.process.terminate()


def share_of_cores(slot: int, jobs: int) -> str:
    """The cores of one of several trainings at a time, as `child` takes them; empty for all there are."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return ""
    cores = sorted(os.sched_getaffinity(0))
    return ",".join(map(str, cores[slot::jobs] or [cores[slot % len(cores)]]))


def _environment(jobs: int) -> dict[str, str]:
    """Each training takes its part of a GPU's memory; JAX would give three quarters of it to the first."""
    own = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.2f}"} if jobs > 1 else {}
    return own | dict(os.environ)


def points_of(file: Path, monitor: str) -> tuple[list[Point], int]:
    """The validations in a run's metrics.jsonl, and the last step there; a line that is still written is left out."""
    points, last_step = [], 0
    for line in file.read_bytes().split(b"\n")[:-1]:
        entry = json.loads(line)
        last_step = entry["step"]
        if entry["kind"] == "valid":
            points.append(Point(entry["step"], entry["epoch"], objective(entry, monitor)))
    return points, last_step


def last_error(log: Path) -> str | None:
    """What a training's last `error:` line says."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else None


__all__ = ["Limits", "Search", "Setup", "last_error", "points_of", "share_of_cores"]
