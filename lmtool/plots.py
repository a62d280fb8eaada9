"""Pictures, drawn by Matplotlib where it is installed: `pip install 'lmtool[plots]'`."""

from __future__ import annotations

import contextlib
import itertools
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lmtool.errors import UsageError
from lmtool.files import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMATS = (".png", ".svg", ".pdf")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
"""Of Okabe & Ito's palette, which colour-blind people can tell apart."""


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
def axes(path: Path, columns: int = 1) -> Iterator[Any]:
    """Axes side by side to draw into, an array of them, which are saved as a picture at the end.

    Raises:
        DataError: if the file cannot be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.4, 3.6 * columns), 4.0), layout="constrained")  # no global state, no window
    FigureCanvasAgg(figure)
    made = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for one in made:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="0.92")
        one.set_axisbelow(True)
    yield made
    name = path.suffix.lower().removeprefix(".")
    with atomic_file(path) as file:
        # No date inside: the same figures give the same file.
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
            nearest = min(range(len(rates)), key=lambda place, rate=rate: abs(rates[place] - rate))
            plot.plot([rate], [smoothed[nearest]], marker, color=BLUE, markersize=5, label=f"{name} ({rate:.2g})")
        plot.axvline(suggestion, color=ORANGE, linewidth=1.4, label=f"suggested: {suggestion:.2g}")
        plot.set_xscale("log")
        plot.set_xlabel("learning rate")
        plot.set_ylabel("loss, nats per target")
        plot.set_ylim(min(losses) - 0.05 * (top - min(losses)), top)
        plot.legend(frameon=False, fontsize=8)


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
                plot.plot(*_columns(chosen), marker, color=BLUE, alpha=0.7, markersize=5, label=label, clip_on=False)
            lost = [place for place, value in zip(places, values, strict=True) if value is None]
            edge = plot.get_xaxis_transform()
            plot.plot(lost, [1.0 if sign > 0 else 0.0] * len(lost), "x", color=GREY, transform=edge, label="no value")
            if best is not None:
                plot.plot(places[best[0]], best[1], "o", color=ORANGE, markersize=9, fillstyle="none", label="best")
            _set_scale(plot, axis)
        plots[0].set_ylabel(name)
        plots[0].plot(*_so_far(reached, sign), color=ORANGE, linewidth=1.2, drawstyle="steps-post", label="best so far")
        plots[0].xaxis.get_major_locator().set_params(integer=True)
        plots[0].legend(frameon=False, fontsize=8)


def _set_scale(plot: Any, axis: Axis) -> None:
    plot.set_xlabel(axis.name)
    if axis.log:
        plot.set_xscale("log")
    if axis.choices is not None:
        plot.set_xticks(range(len(axis.choices)), [str(one) for one in axis.choices])
        plot.set_xlim(-0.5, len(axis.choices) - 0.5)


def _columns(rows: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in rows], [y for _, y in rows]


def _so_far(reached: Sequence[tuple[int, float]], sign: int) -> tuple[list[float], list[float]]:
    lowest = itertools.accumulate((sign * value for _, value in reached), min)
    return [number for number, _ in reached], [sign * value for value in lowest]


__all__ = ["FORMATS", "Axis", "axes", "can_plot", "check_can_plot", "draw_losses_at_rates", "draw_search"]
