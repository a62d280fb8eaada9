"""How long training has taken, and how fast it is."""

from __future__ import annotations

import time


class Clock:
    """Seconds of training: validation, checkpoints and compilation are counted in the whole, not in the speed."""

    SHOW_EVERY = 0.2

    def __init__(self) -> None:
        self.compiled = False
        self.tokens_per_second = 0.0
        self.seconds_per_step = 0.0
        self.compile_seconds = 0.0
        self._compile_logged = False
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
        """For the first line of the log; None afterwards."""
        if self._compile_logged:
            return None
        self._compile_logged = True
        return self.compile_seconds

    def compiling(self) -> _Pause:
        """The body calls the step; its first call compiles."""
        return _Pause(self, first_call=not self.compiled)

    def paused(self) -> _Pause:
        """The body is not counted in the speed."""
        return _Pause(self)


class _Pause:
    def __init__(self, clock: Clock, *, first_call: bool | None = None) -> None:
        self._clock, self._first_call = clock, first_call

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._begin
        if self._first_call is False:
            return
        if self._first_call:
            self._clock.compiled, self._clock.compile_seconds = True, seconds
        self._clock._lap += seconds


__all__ = ["Clock"]
