"""SIGTERM, SIGUSR1 and Ctrl-C: stop at the next good moment."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from lmtool.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOPPING = ("SIGTERM", "SIGUSR1", "SIGINT")
GO_ON = "run the same command to go on"


class StopRequest:
    """Watches for signals while it is entered.

    What cannot be saved half-way is ended at once, by `Interrupted` (or KeyboardInterrupt, for Ctrl-C). Within
    `deferred()` a signal only makes `signal_name` true, for the work to save and end by itself; a second Ctrl-C there
    ends it at once all the same.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        """The first signal that came; None as long as nobody wants us to stop."""
        self._deferred = False
        self._previous: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for name in STOPPING:
                number = getattr(signal, name, None)
                # What the shell has us ignore, as Ctrl-C in a background job, stays ignored.
                if number and signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Signals wait until the body looks at `signal_name`."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def check(self) -> None:
        """Raise Interrupted if a signal has come: a part of the work that defers it may end all the same."""
        if self.signal_name:
            raise Interrupted(f"stopped by {self.signal_name}", hint=GO_ON)

    def _receive(self, number: int, _frame: Any) -> None:
        first = self.signal_name is None
        self.signal_name = self.signal_name or signal.Signals(number).name
        if self._deferred and (first or number != signal.SIGINT):
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Interrupted(f"stopped by {self.signal_name}", hint=GO_ON)


__all__ = ["StopRequest"]
