"""What a search came to: a table, a JSON object, the best config, a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool.settings import LOWER_IS_BETTER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from lmtool.tuning.record import Record, Trial
    from lmtool.tuning.space import Space


def figure(value: float, monitor: str) -> float:
    """A trial's value as the figure that it stands for: an accuracy is negated, so that the lowest is best."""
    return value if monitor in LOWER_IS_BETTER else -value


def to_json(record: Record, monitor: str) -> dict[str, Any]:
    """The trials, the best first."""
    trials = [_row(rank, trial, record, monitor) for rank, trial in enumerate(record.ranked(), 1)]
    best = trials[0] if trials and trials[0]["value"] is not None else None
    return {
        "schema": 1,
        "folder": str(record.folder),
        "monitor": monitor,
        "seconds": round(record.elapsed, 1),
        "best": best,
        "trials": trials,
    }


def _row(rank: int, trial: Trial, record: Record, monitor: str) -> dict[str, Any]:
    best = trial.best
    return {
        "rank": rank if best else None,
        "trial": trial.number,
        "run": str(record.run(trial)),
        "state": trial.state,
        "settings": trial.settings,
        "value": figure(best.value, monitor) if best else None,
        "step": best.step if best else None,
        "epoch": best.epoch if best else None,
        "seconds": round(trial.seconds, 1),
        "reason": trial.reason,
    }


def table(record: Record, space: Space, monitor: str) -> Table:
    """A row a trial, the best first."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    names = short_names(list(space))
    for name in ("", "trial", *names.values(), monitor, "step", "s", ""):
        made.add_column(name, justify="right", overflow="fold")
    made.columns[-1].justify = "left"
    for rank, trial in enumerate(record.ranked(), 1):
        best = trial.best
        measured = [f"{figure(best.value, monitor):.5g}", str(best.step)] if best else ["–", "–"]
        made.add_row(
            str(rank) if best else "–",
            str(trial.number),
            *(f"{trial.settings[key]}" for key in names),
            *measured,
            f"{trial.seconds:.0f}",
            "" if trial.state == "finished" else trial.state,
        )
    return made


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Names of settings for columns: without their section where that is enough."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}


def best_config(trial: Trial, record: Record, monitor: str) -> str:
    """The config of a trial, with a line that says what it reached."""
    best = trial.best
    assert best is not None
    what = f"{figure(best.value, monitor):.5g} at step {best.step}"
    count = len(record.trials)
    head = f"# Trial {trial.number}, the best of {count} by `lmtool tune`: validation {monitor} {what}.\n\n"
    return head + record.config(trial).read_text(encoding="utf-8")


def draw(path: Path, record: Record, space: Space, monitor: str) -> None:
    """Each setting against what trials reached, and what the best had reached after each trial."""
    from lmtool.plots import Axis, draw_search

    trials = record.trials
    draw_search(
        path,
        values=[figure(one.best.value, monitor) if one.best else None for one in trials],
        finished=[one.state == "finished" for one in trials],
        settings=[
            Axis(
                name,
                [trial.settings[key] for trial in trials],
                log=getattr(space[key], "log", False),
                choices=getattr(space[key], "values", None),
            )
            for key, name in short_names(list(space)).items()
        ],
        name=f"validation {monitor}",
        sign=1 if monitor in LOWER_IS_BETTER else -1,
    )


__all__ = ["best_config", "draw", "figure", "short_names", "table", "to_json"]
