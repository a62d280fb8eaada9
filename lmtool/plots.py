"""Pictures, drawn by Matplotlib where it is installed: `pip install 'lmtool[plots]'`."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lmtool.errors import UsageError
from lmtool.files import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

IN_A_ROW = 4
"""Reliability diagrams side by side; more would be too small on a page."""
LONGEST_NAME = 34
"""Characters of a run's path in a title."""
FORMATS = (".png", ".svg", ".pdf")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
"""Of Okabe & Ito's palette, which colour-blind people can tell apart."""
MANY_DECADES = 300
"""A ratio: a logarithmic axis of more needs no names between the powers of ten."""


def can_plot() -> bool:
    """Whether Matplotlib is installed."""
    return find_spec("matplotlib") is not None


def check_can_plot(path: Path) -> None:
    """Raise UsageError if no picture of this name can be drawn: now, not after the work."""
    if not can_plot():
        raise UsageError(f"cannot draw {path}: Matplotlib is not installed", hint="`pip install 'lmtool[plots]'`")
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot draw {path}: its name must end in one of {', '.join(FORMATS)}")


@contextlib.contextmanager
def axes(path: Path, columns: int = 1, heights: Sequence[float] = (1.0,)) -> Iterator[Any]:
    """Axes side by side to draw into, an array of them, which are saved as a picture at the end.

    Args:
        path: Of the picture.
        columns: Axes side by side.
        heights: Of the rows, relative to each other; where there are several, the array is [row, column], and all axes
            share what is along them.

    Raises:
        DataError: if the file cannot be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(heights)
    size = (max(6.4, 3.6 * columns), 4.0) if rows == 1 else (max(4.0, 3.0 * columns), 2.2 * rows)
    figure = Figure(figsize=size, layout="constrained")  # no global state, no window
    FigureCanvasAgg(figure)
    made = figure.subplots(rows, columns, squeeze=False, sharex=rows > 1, sharey="row", height_ratios=heights)
    for one in made.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="0.92")
        one.set_axisbelow(True)
    yield made if rows > 1 else made[0]
    name = path.suffix.lower().removeprefix(".")
    with atomic_file(path) as file, matplotlib.rc_context({"svg.hashsalt": "lmtool"}):
        # No date inside, and no random names: the same figures give the same file.
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(name, {})
        figure.savefig(file, format=name, dpi=150, metadata=dated)


def draw_losses_at_rates(
    path: Path,
    *,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float,
    marks: dict[str, float],
    top: float,
) -> None:
    """The picture of a learning-rate range test.

    Args:
        path: Of the picture.
        rates: Learning rates, rising.
        losses: Of the batch at each, nats per target.
        smoothed: The same, smoothed.
        suggestion: The rate that comes of it.
        marks: Names and rates of other points of the smoothed curve.
        top: The highest loss that is shown.
    """
    with axes(path) as [plot]:
        plot.plot(rates, losses, color=GREY, linewidth=0.8, label="loss of each batch")
        plot.plot(rates, smoothed, color=BLUE, linewidth=1.8, label="smoothed")
        for (name, rate), marker in zip(marks.items(), "osD^", strict=False):
            _, height = min(zip(rates, smoothed, strict=True), key=partial(_distance, rate))
            plot.plot([rate], [height], marker, color=BLUE, markersize=5, label=f"{name} ({rate:.2g})")
        plot.axvline(suggestion, color=ORANGE, linewidth=1.4, label=f"suggested: {suggestion:.2g}")
        plot.set_xscale("log")
        plot.set_xlabel("learning rate")
        plot.set_ylabel("loss, nats per target")
        plot.set_ylim(min(losses) - 0.05 * (top - min(losses)), top)
        plot.legend(frameon=False, fontsize=8)


def _distance(x: float, point: tuple[float, float]) -> float:
    return abs(point[0] - x)


@dataclass(frozen=True)
class Axis:
    """A setting that a search varied."""

    name: str
    values: Sequence[Any]
    """Of each trial."""
    log: bool = False
    choices: Sequence[Any] | None = None
    """In their order, where it has no other one; None for numbers."""

    def places(self) -> list[float]:
        """Where trials stand along it."""
        return [float(self.choices.index(one) if self.choices else one) for one in self.values]


def draw_search(
    path: Path,
    *,
    values: Sequence[float | None],
    finished: Sequence[bool],
    settings: Sequence[Axis],
    name: str,
    sign: int,
) -> None:
    """The picture of a search: what trials reached over their order, and over each setting.

    Args:
        path: Of the picture.
        values: What each trial reached; None for those that came to nothing, which are crosses at the edge.
        finished: Whether it was trained to its end.
        settings: What they differ in.
        name: Of the figure.
        sign: 1 if the lowest is best, -1 if the highest is.
    """
    reached = [(number, value) for number, value in enumerate(values) if value is not None]
    best = min(reached, key=lambda one: sign * one[1]) if reached else None
    order = Axis("trial", range(len(values)))
    with axes(path, columns=1 + len(settings)) as plots:
        for plot, axis in zip(plots, [order, *settings], strict=True):
            places = axis.places()
            for is_finished, marker in ((True, "o"), (False, "v")):
                chosen = [(places[number], value) for number, value in reached if finished[number] is is_finished]
                label = "finished" if is_finished else "stopped early"
                _scatter(plot, *_columns(chosen), marker, color=BLUE, alpha=0.7, label=label)
            lost = [place for place, value in zip(places, values, strict=True) if value is None]
            edge = [1.0 if sign > 0 else 0.0] * len(lost)
            _scatter(plot, lost, edge, "x", color=GREY, label="no value", transform=plot.get_xaxis_transform())
            if best is not None:
                plot.plot(places[best[0]], best[1], "o", color=ORANGE, markersize=9, fillstyle="none", label="best")
            _set_scale(plot, axis)
        plots[0].set_ylabel(name)
        plots[0].plot(*_so_far(reached, sign), color=ORANGE, linewidth=1.2, drawstyle="steps-post", label="best so far")
        plots[0].xaxis.get_major_locator().set_params(integer=True)
        plots[0].figure.legend(
            *plots[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False
        )


@dataclass(frozen=True)
class Reliability:
    """How often the predictions of a classifier are right, by their confidence."""

    name: str
    """Of the run, for the title."""
    bins: Sequence[Mapping[str, Any]]
    """As the evaluator `calibration` tells them: `from`, `to`, `n`, `confidence`, `accuracy`, `stderr`."""
    ece: float


def draw_reliability(path: Path, diagrams: Sequence[Reliability]) -> None:
    """Reliability diagrams side by side, above each how its predictions are spread over confidences.

    Args:
        path: Of the picture.
        diagrams: At least one.

    References:
        DeGroot & Fienberg, "The comparison and evaluation of forecasters", 1983; Guo et al., "On calibration of modern
        neural networks", 2017.
    """
    columns = min(IN_A_ROW, len(diagrams))
    bands = math.ceil(len(diagrams) / columns)
    with axes(path, columns, heights=(1.0, 2.6) * bands) as plots:
        for one in plots.flat:
            one.set_visible(False)
        for number, diagram in enumerate(diagrams):
            band, column = divmod(number, columns)
            shares, plot = plots[2 * band, column], plots[2 * band + 1, column]
            _draw_shares(shares, diagram)
            _draw_bins(plot, diagram)
            plot.set_xlabel("confidence")
            plot.tick_params(labelbottom=True)
            shares.set_visible(True)
            plot.set_visible(True)
            if not column:
                shares.set_ylabel("predictions")
                plot.set_ylabel("share that is right")
        named = [pair for row in (0, 1) for pair in zip(*plots[row, 0].get_legend_handles_labels(), strict=True)]
        plots[0, 0].figure.legend(
            *zip(*named, strict=True), loc="outside lower center", ncols=2, frameon=False, fontsize=8
        )


def _draw_shares(plot: Any, diagram: Reliability) -> None:
    total = sum(one["n"] for one in diagram.bins)
    for one in diagram.bins:
        plot.bar(one["from"], one["n"] / total, one["to"] - one["from"], align="edge", color=GREY, edgecolor="white")
    means = [sum(one["n"] * one[name] for one in diagram.bins) / total for name in ("confidence", "accuracy")]
    for mean, color, style, label in zip(
        means, (ORANGE, BLUE), ("--", "-"), ("mean confidence", "accuracy"), strict=True
    ):
        plot.axvline(mean, color=color, linestyle=style, linewidth=1.4, label=label)
    plot.set_title(f"{_shortened(diagram.name)}\nECE {diagram.ece:.4f}", fontsize=9)


def _draw_bins(plot: Any, diagram: Reliability) -> None:
    plot.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1.2, label="calibrated")
    for one in diagram.bins:
        width = one["to"] - one["from"]
        plot.bar(one["from"], one["accuracy"], width, align="edge", color="0.9", edgecolor="0.7", linewidth=0.6)
    plot.errorbar(
        [one["confidence"] for one in diagram.bins],
        [one["accuracy"] for one in diagram.bins],
        [one["stderr"] or 0.0 for one in diagram.bins],
        fmt="o",
        color=BLUE,
        markersize=4,
        capsize=2,
        label="share that is right, ± standard error",
        clip_on=False,
    )
    plot.set_xlim(0, 1)
    plot.set_ylim(0, 1)


def _shortened(name: str) -> str:
    """The end of a path that is too long for a title."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def _scatter(plot: Any, xs: Sequence[float], ys: Sequence[float], marker: str, **style: Any) -> None:
    if xs:  # what has no place would leave the layout without one, too
        plot.plot(xs, ys, marker, markersize=5, clip_on=False, **style)


def _set_scale(plot: Any, axis: Axis) -> None:
    plot.set_xlabel(axis.name)
    if axis.log:
        plot.set_xscale("log")
        _, *rest = (numbers := sorted(axis.places()))
        if rest and rest[-1] < MANY_DECADES * numbers[0]:
            _name_more_ticks(plot.xaxis)
    if axis.choices is not None:
        plot.set_xticks(range(len(axis.choices)), [str(one) for one in axis.choices])
        plot.set_xlim(-0.5, len(axis.choices) - 0.5)


def _name_more_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _columns(rows: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in rows], [y for _, y in rows]


def _so_far(reached: Sequence[tuple[int, float]], sign: int) -> tuple[list[float], list[float]]:
    lowest = itertools.accumulate((sign * value for _, value in reached), min)
    return [number for number, _ in reached], [sign * value for value in lowest]


__all__ = [
    "FORMATS",
    "Axis",
    "Reliability",
    "axes",
    "can_plot",
    "check_can_plot",
    "draw_losses_at_rates",
    "draw_reliability",
    "draw_search",
]
