"""The progress bar, for terminals: imports Rich."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderResult
    from rich.progress import Task, TaskID

BAR_WIDTH = 24
"""Columns at most."""


class Bar:
    """One line that moves: phase, bar, percent, facts, time since the work began, time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._phase = ""

    def update(self, phase: str, fraction: float, **fields: str) -> None:
        """Move the bar; a `left` among the fields takes the place of an estimate from the fractions so far."""
        if self._task is None or phase != self._phase:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._phase = self._progress.add_task(phase, total=1.0, facts=[], left=None), phase
        left = fields.pop("left", None)
        facts = [f"{name} {value}" for name, value in fields.items()]
        self._progress.update(self._task, completed=min(fraction, 1.0), facts=facts, left=left)


class LineColumn(ProgressColumn):
    """All of the line: phases come and go, its clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()

    def render(self, task: Task) -> Line:
        left = task.fields["left"] or _time(task.time_remaining)
        facts = [*task.fields["facts"], _time(time.monotonic() - self._start), *([f"left {left}"] if left else [])]
        return Line(task.description, task.completed, facts)


@dataclass(frozen=True)
class Line:
    """As wide as the terminal at most: the bar gives way first, then the phase."""

    phase: str
    fraction: float
    facts: list[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        said = "  ".join([f"{self.fraction:4.0%}", *self.facts])
        phase = Text(self.phase)
        phase.truncate(max(1, options.max_width - len(said) - 1), overflow="ellipsis")
        line = Text.assemble(phase, " ", no_wrap=True, overflow="ellipsis")
        width = min(BAR_WIDTH, options.max_width - phase.cell_len - len(said) - 2)
        if width > 1:
            segments = console.render(ProgressBar(total=1.0, completed=self.fraction), options.update_width(width))
            bar = Text.assemble(*((one.text, one.style or "") for one in segments))
            bar.align("left", width + 1)  # without colours there is no bar after what is done
            line.append_text(bar)
        line.append(said)
        yield line


def _time(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=int(seconds)))


@contextmanager
def bar() -> Iterator[Bar]:
    """A bar on stderr, gone when the work is done."""
    with Progress(LineColumn(), console=Console(stderr=True), transient=True, expand=True) as progress:
        yield Bar(progress)
