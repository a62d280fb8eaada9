"""What is shown while something takes long: on a terminal, and in the log of a batch job."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from lmtool.cli import terminal
from lmtool.cli.progress import Bar, LineColumn

FACTS = {"loss": "5.740", "tokens/s": "35,140"}


class Clock:
    """`time.monotonic` of a test."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


class Shown:
    """What a bar shows after the last update."""

    def __init__(self, width: int, clock: Clock, color_system: str | None = None) -> None:
        colors = {"color_system": color_system, "force_terminal": color_system is not None}
        self.console = Console(file=io.StringIO(), width=width, **colors)
        self.progress = Progress(LineColumn(), console=self.console, get_time=clock, expand=True)
        self.update = Bar(self.progress).update

    def __str__(self) -> str:
        with self.console.capture() as captured:
            self.console.print(self.progress.get_renderable())
        (line,) = captured.get().splitlines()
        return Text.from_ansi(line).plain.rstrip()


def test_a_line_has_phase_bar_percent_facts_elapsed_and_left(clock):
    shown = Shown(80, clock)
    shown.update("training", 0.33, **FACTS, left="0:00:48")
    clock.now += 75

    phase, bar, *said = str(shown).split()
    assert phase == "training"
    assert set(bar) <= set("━╸╺")
    assert said == ["33%", "loss", "5.740", "tokens/s", "35,140", "0:01:15", "left", "0:00:48"]


@pytest.mark.parametrize("width", [120, 80, 70, 65])
@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("color_system", [None, "standard"])
def test_the_bar_gives_way_to_what_is_said(clock, width, fraction, color_system):
    shown = Shown(width, clock, color_system)
    shown.update("training", fraction, **FACTS, left="0:00:48")

    said = f"{fraction:4.0%}  loss 5.740  tokens/s 35,140  0:00:00  left 0:00:48"
    assert str(shown).endswith(said)
    # a blank on each side of the bar, which has 24 columns at most
    assert len(str(shown)) == min(width, len("training") + 1 + 24 + 1 + len(said))


def test_a_long_phase_is_shortened_before_the_figures(clock):
    shown = Shown(60, clock)
    shown.update("evaluating " + "r" * 80, 0.5, left="0:00:48")

    assert str(shown).startswith("evaluating rrr")
    assert str(shown).endswith("…  50%  0:00:00  left 0:00:48")
    assert len(str(shown)) == 60


def test_without_a_time_left_it_is_estimated(clock):
    shown = Shown(80, clock)
    for fraction in (0.0, 0.1, 0.2):
        shown.update("encoding", fraction)
        clock.now += 6

    # 6 seconds a tenth: 48 for the other eight
    assert str(shown).endswith("left 0:00:48")


def test_the_clock_goes_on_from_phase_to_phase(clock):
    shown = Shown(80, clock)
    for phase in ("training", "validating", "training"):
        shown.update(phase, 0.5)
        clock.now += 10

    assert str(shown).endswith("0:00:30")


def test_off_a_terminal_there_is_at_most_a_line_a_minute(clock, capsys):
    with terminal.progress() as progress:
        for second in range(0, 150, 10):
            clock.now = 100.0 + second
            progress.update("training", second / 200, loss="4.01", left="0:01:00")

    assert capsys.readouterr().err.splitlines() == [
        "training 30%  loss 4.01  left 0:01:00",
        "training 60%  loss 4.01  left 0:01:00",
    ]


def test_quiet_has_no_line(clock, capsys, monkeypatch):
    monkeypatch.setattr(terminal.settings, "quiet", True)
    with terminal.progress() as progress:
        clock.now += 1000
        progress.update("training", 0.5)

    assert capsys.readouterr().err == ""
