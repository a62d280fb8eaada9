"""`lmtool train CONFIG --find-lr`: test learning rates instead of training."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from lmtool.cli import terminal
from lmtool.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from lmtool.config import RunConfig
    from lmtool.devices import DeviceOptions
    from lmtool.training.range_test import RangeTest

HEIGHT = 10
"""Lines of the chart."""


def check(options: DeviceOptions, plot: Path | None, *, output: Path | None, force: bool) -> None:
    """Raise UsageError for options that make no sense beside `--find-lr`, and for a picture that cannot be drawn."""
    given = {"-o": output is not None, "--force": force, "--distributed": options.in_processes}
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"{name} has no use with --find-lr: nothing is trained, and no run is written")
    if plot is not None:
        from lmtool.plots import check_can_plot

        check_can_plot(plot)


def bounds_of(text: str | None) -> tuple[float, float] | None:
    """`LOW..HIGH` as numbers; raises UsageError."""
    if text is None:
        return None
    low, _, high = text.partition("..")
    try:
        bounds = float(low), float(high)
    except ValueError:
        bounds = (0.0, 0.0)
    if not 0 < bounds[0] < bounds[1] < float("inf"):
        raise UsageError(f"--lr-range must be LOW..HIGH, two rates above 0 such as 1e-5..1, got '{text}'")
    return bounds


def find(
    config: RunConfig, devices: DeviceOptions, *, bounds: tuple[float, float] | None, plot: Path | None, as_json: bool
) -> None:
    """Print a learning rate for a config; the curve that it comes from goes to a terminal, and into a picture."""
    from lmtool.data.of_config import dataset_of
    from lmtool.training.range_test import constant_rate, range_test

    constant_rate(config)  # what has none is told before any text is read
    registry = terminal.registry()
    with terminal.progress() as shown:
        dataset = dataset_of(config, registry, shown.update)
        found = range_test(
            config, dataset, registry, bounds=bounds, devices=devices, report=shown.update, warn=terminal.warn
        )
    _explain(found)
    if plot is not None:
        _draw(plot, found)
        terminal.say(f"picture: {plot}")
    if as_json:
        terminal.answer_json(to_json(found))
    else:
        terminal.answer(f"{found.suggestion:g}")


def _explain(found: RangeTest) -> None:
    from lmtool.training.range_test import RULES

    if terminal.is_animated():
        _show(found)
    if not found.ended_early and found.lowest == found.rates[-1]:
        terminal.warn(f"the loss still falls at {found.rates[-1]:.2g}; `--lr-range LOW..HIGH` tests higher rates")
    terminal.say(f"falls fastest at {found.steepest:.2g}, is lowest at {found.lowest:.2g}")
    terminal.say(f"suggested: {found.suggestion:g}, {RULES[found.rule]}")


def _show(found: RangeTest) -> None:
    from lmtool.cli.chart import curve

    width = max(40, min(100, shutil.get_terminal_size().columns))
    mark = min(range(len(found.rates)), key=lambda place: abs(found.rates[place] - found.suggestion))
    lines = curve([min(loss, found.top) for loss in found.smoothed], width=width, height=HEIGHT, mark=mark)
    first, last = f"{found.rates[0]:.1e}", f"{found.rates[-1]:.1e}"
    left = lines[0].index("┤") + 1
    title = "learning rate, smoothed loss above it"
    axis = " " * left + first + title.center(width - left - len(first) - len(last)) + last
    print(*lines, axis, sep="\n", file=sys.stderr, flush=True)


def _draw(path: Path, found: RangeTest) -> None:
    from lmtool.plots import draw_losses_at_rates

    draw_losses_at_rates(
        path,
        rates=found.rates,
        losses=found.losses,
        smoothed=found.smoothed,
        suggestion=found.suggestion,
        marks={"steepest": found.steepest, "lowest": found.lowest},
        top=found.top,
    )


def to_json(found: RangeTest) -> dict[str, Any]:
    """Rates, losses, and what comes of them."""
    columns = zip(found.rates, found.losses, found.smoothed, strict=True)
    return {
        "schema": 1,
        "learning_rate": found.suggestion,
        "rule": found.rule,
        "steepest": found.steepest,
        "lowest": found.lowest,
        "ended_early": found.ended_early,
        "steps": [{"learning_rate": rate, "loss": loss, "smoothed": smooth} for rate, loss, smooth in columns],
    }
