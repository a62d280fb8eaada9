"""Figures of several runs of the same training: mean, standard deviation, and an interval for the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.evaluation.json_report import number
from lmtool.evaluation.tables import number_format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

LEVEL = 0.95


@dataclass(frozen=True)
class Outcome:
    """One run's figures on its test text."""

    run: str
    fold: int | None
    seed: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """One figure over all runs."""

    mean: float
    sd: float | None
    """Standard deviation between runs, or between folds, each with the mean over its seeds; None if there is one."""
    low: float | None
    """Bounds of the 95 % interval of the mean by Student's t; None if there is one."""
    high: float | None
    n: int
    """Runs, or folds."""

    def to_json(self) -> dict[str, Any]:
        values = {"mean": self.mean, "sd": self.sd, "low": self.low, "high": self.high}
        return {name: None if one is None else number(one) for name, one in values.items()} | {"n": self.n}


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Summary]:
    """Every figure that all runs have."""
    names = [name for name in outcomes[0].metrics if all(name in one.metrics for one in outcomes)]
    return {name: summary_of(_by_fold(outcomes, name), folds=outcomes[0].fold is not None) for name in names}


def _by_fold(outcomes: Sequence[Outcome], name: str) -> list[float]:
    groups: dict[object, list[float]] = {}
    for one in outcomes:
        groups.setdefault((one.fold,) if one.fold is not None else (None, one.seed), []).append(one.metrics[name])
    return [float(np.mean(values)) for values in groups.values()]


def summary_of(values: Sequence[float], *, folds: bool) -> Summary:
    """Of independent values, or of those of K folds.

    Trainings on K - 1 of K folds share most of their documents, so that their figures vary less than those of
    independent texts would: the variance of their mean is taken as sd² · (1/K + 1/(K - 1)) instead of sd²/K.

    References:
        Nadeau & Bengio, "Inference for the generalization error", 2003.
    """
    n, mean = len(values), float(np.mean(values))
    if n < 2 or not np.isfinite(values).all():
        return Summary(mean, None, None, None, n)
    sd = float(np.std(values, ddof=1))
    half = student_t(n - 1) * sd * math.sqrt(1 / n + (1 / (n - 1) if folds else 0))
    return Summary(mean, sd, mean - half, mean + half, n)


def student_t(degrees: int) -> float:
    """How many standard errors the 95 % interval reaches to each side."""
    from scipy.special import stdtrit  # type: ignore[import-untyped,unused-ignore]

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def table(summaries: Mapping[str, Summary]) -> Table:
    """A row a figure."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("", "mean ± sd", "95 % interval", "n"):
        made.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name, one in summaries.items():
        if name.endswith("_micro") and "accuracy" in summaries:  # the same figure
            continue
        form = number_format(one.mean)
        spread = "" if one.sd is None else f" ± {form.format(one.sd)}"
        interval = "–" if one.low is None else f"{form.format(one.low)} to {form.format(one.high)}"
        made.add_row(name, form.format(one.mean) + spread, interval, str(one.n))
    return made


__all__ = ["Outcome", "Summary", "student_t", "summarise", "summary_of", "table"]
