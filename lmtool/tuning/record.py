"""What a search has done so far: FOLDER/tune.json, written anew at each change.

FOLDER/
  tune.json          what is searched, how long it has taken, and each trial
  trials/0.toml      the config of a trial
  trials/0.log       what its training said
  trials/0           its run
  best.toml          the config of the best trial
  tune.png           a picture, where Matplotlib is installed
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from lmtool.errors import ConfigError, DataError
from lmtool.files import write_atomic
from lmtool.records import read_record

if TYPE_CHECKING:
    from pathlib import Path

RECORD = "tune.json"
VERSION = 1

State = Literal["started", "finished", "pruned", "diverged", "refused", "failed"]


@dataclass(frozen=True)
class Point:
    """A validation of a trial."""

    step: int
    epoch: float
    value: float
    """Lowest is best."""


@dataclass(frozen=True)
class Trial:
    """One of the trainings."""

    number: int
    settings: dict[str, Any]
    """By dotted name."""
    state: State = "started"
    """`started` as long as its training can go on; `refused` if its settings do not go together."""
    points: tuple[Point, ...] = ()
    seconds: float = 0.0
    """Of training, over all restarts."""
    reason: str | None = None
    """Why it failed or was refused."""

    @property
    def best(self) -> Point | None:
        """The validation with the lowest value; None before the first, and of one that came to nothing."""
        if self.state in ("diverged", "refused", "failed") or not self.points:
            return None
        return min(self.points, key=lambda point: point.value)

    def upto(self, epoch: float) -> float | None:
        """The lowest value until then; None before the first validation."""
        return min((one.value for one in self.points if one.epoch <= epoch), default=None)

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "state": self.state,
            "settings": self.settings,
            "points": [[one.step, one.epoch, one.value] for one in self.points],
            "seconds": round(self.seconds, 1),
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Trial:
        return cls(**{**values, "points": tuple(Point(*one) for one in values["points"])})


@dataclass
class Record:
    """The trials of a folder, and what they have in common."""

    folder: Path
    facts: dict[str, Any]
    """Of the config, the data and the space; never changed once the search has begun."""
    trials: list[Trial] = field(default_factory=list)
    elapsed: float = 0.0
    """Seconds of search, over all restarts."""

    @classmethod
    def begin(cls, folder: Path, facts: dict[str, Any]) -> Record:
        """Begin a search, or go on with one.

        Raises:
            DataError: if something else is in the folder.
            ConfigError: if the search in it was begun with other facts.
        """
        file = folder / RECORD
        if not file.exists():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise DataError(f"{folder} exists and holds no search", hint="give another name with `-o`")
            (folder / "trials").mkdir(parents=True, exist_ok=True)
            made = cls(folder, facts)
            made.write()
            return made
        values = read_record(file, "tune", version=VERSION, check=_check, makes_one="`lmtool tune` makes one")
        before = values["facts"]
        for name in dict.fromkeys([*facts, *before]):
            if before.get(name) != facts.get(name):
                raise ConfigError(
                    f"{folder} was begun with {_difference(name, before.get(name), facts.get(name))}",
                    hint="`-o` names another folder",
                )
        return cls(folder, facts, [Trial.from_json(one) for one in values["trials"]], values["elapsed"])

    def reload(self) -> None:
        """Read what another process wrote before it let go of the folder."""
        now = Record.begin(self.folder, self.facts)
        self.trials, self.elapsed = now.trials, now.elapsed

    def write(self) -> None:
        """Raises DataError if it cannot be written."""
        record = {
            "format": "lmtool-tune",
            "version": VERSION,
            "facts": self.facts,
            "elapsed": round(self.elapsed, 1),
            "trials": [one.to_json() for one in self.trials],
        }
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(self.folder / RECORD, text + "\n")

    def put(self, trial: Trial) -> None:
        """Note how far a trial is, or a new one."""
        if trial.number < len(self.trials):
            self.trials[trial.number] = trial
        else:
            self.trials.append(trial)
        self.write()

    def retry_failed(self) -> None:
        """What failed for another reason than its settings is tried once more: the disk may have been full."""
        self.trials = [
            replace(one, state="started", reason=None) if one.state == "failed" else one for one in self.trials
        ]

    def ranked(self) -> list[Trial]:
        """The best trial first; those that came to nothing last, in the order of their numbers."""

        def place(trial: Trial) -> tuple[bool, float, int]:
            return trial.best is None, trial.best.value if trial.best else 0.0, trial.number

        return sorted(self.trials, key=place)

    def run(self, trial: Trial) -> Path:
        return self.folder / "trials" / str(trial.number)

    def config(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.number}.toml"

    def log(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.number}.log"


def _check(record: Any) -> None:
    _ = record["facts"].items(), float(record["elapsed"]), [Trial.from_json(one) for one in record["trials"]]


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(one for one in [*before, *now] if before.get(one) != now.get(one))
        return f"{name} {key} {_shown(before.get(key))}, now it is {_shown(now.get(key))}"
    return f"another {name}" if name == "dataset" else f"{name} {_shown(before)}, now it is {_shown(now)}"


def _shown(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


__all__ = ["RECORD", "Point", "Record", "State", "Trial"]
