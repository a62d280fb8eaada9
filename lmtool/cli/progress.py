"""The progress bar, for terminals: imports Rich."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID


class Bar:
    """One line that moves: phase, bar, percent, facts, time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._phase = ""

    def update(self, phase: str, fraction: float, **fields: str) -> None:
        """Move the bar; a new phase starts its own clock."""
        if self._task is None or phase != self._phase:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._phase = self._progress.add_task(phase, total=1.0, facts=""), phase
        facts = "  ".join(f"{name} {value}" for name, value in fields.items())
        self._progress.update(self._task, completed=min(fraction, 1.0), facts=facts)


@contextmanager
def bar() -> Iterator[Bar]:
    """A bar on stderr, gone when the work is done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress)
