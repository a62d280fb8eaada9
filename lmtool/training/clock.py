"""How long training has taken, and how fast it is."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator


class Clock:
    """Seconds of training: validation, checkpoints and compilation are counted in the whole, not in the speed."""

    SHOW_EVERY = 0.2

    def __init__(self) -> None:
        self.tokens_per_second = 0.0
        self.seconds_per_step = 0.0
        self.compile_seconds = 0.0
        self._unlogged_compile_seconds = 0.0
        self._compiled: set[Hashable] = set()
        self._start = self._lap = self._shown = time.perf_counter()
        self._tokens = self._steps = 0

    def start(self, elapsed: float) -> None:
        """Go on from so many seconds."""
        self._start = time.perf_counter() - elapsed
        self.lap()

    def elapsed(self) -> float:
        return time.perf_counter() - self._start

    def lap(self) -> None:
        """Begin to measure speed anew."""
        self._lap = time.perf_counter()
        self._tokens = self._steps = 0

    def count(self, num_targets: int, steps: int = 1) -> None:
        self._tokens += num_targets
        self._steps += steps
        seconds = max(1e-9, time.perf_counter() - self._lap)
        self.tokens_per_second, self.seconds_per_step = self._tokens / seconds, seconds / self._steps

    def is_time_to_show(self) -> bool:
        return time.perf_counter() - self._shown >= self.SHOW_EVERY

    def shown(self) -> None:
        self._shown = time.perf_counter()

    def compile_seconds_once(self) -> float | None:
        """What no line of the log has said yet; None if there is nothing."""
        seconds, self._unlogged_compile_seconds = self._unlogged_compile_seconds, 0.0
        return seconds or None

    def will_compile(self, shape: Hashable) -> bool:
        """Whether the step has not been called with arrays of this shape."""
        return shape not in self._compiled

    @contextlib.contextmanager
    def compiling(self, shape: Hashable) -> Iterator[None]:
        """The body calls the step; its first call with arrays of a shape compiles, and is not counted in the speed."""
        if not self.will_compile(shape):
            yield
            return
        begin = time.perf_counter()
        with self.paused():
            yield
        self._compiled.add(shape)
        seconds = time.perf_counter() - begin
        self.compile_seconds += seconds
        self._unlogged_compile_seconds += seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The body is not counted in the speed."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._lap += time.perf_counter() - begin


__all__ = ["Clock"]
