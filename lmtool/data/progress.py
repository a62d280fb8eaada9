"""How far a pass over some sources is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.data import sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.data.reading import Reading

    Progress = Callable[[str, float], None]
    """Called with a phase's name and the fraction of it done, 0 to 1."""


class PassProgress:
    """Fraction done: bytes taken from files over their size; for sources without a size, nothing until the end."""

    def __init__(self, phase: str, split: Sequence[Reading], progress: Progress) -> None:
        paths = [path for one in split for path in one.files]
        self._phase, self._progress = phase, progress
        self._start, self._next = sources.bytes_read(), 0.0
        self._total = sum(path.stat().st_size for path in paths if path.is_file())

    def update(self) -> None:
        done = sources.bytes_read() - self._start
        fraction = min(1.0, done / self._total) if self._total else 0.0
        if fraction >= self._next:  # there may be a million records
            self._next = fraction + 0.002
            self._progress(self._phase, fraction)

    def finish(self) -> None:
        self._progress(self._phase, 1.0)


__all__ = ["PassProgress"]
