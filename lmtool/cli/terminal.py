"""How commands speak: answers to stdout, everything else to stderr, animation only on a terminal."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.registry import Registry


@dataclass
class Settings:
    """What the global options say; set once, before any command runs."""

    quiet: bool = False
    third_party: bool = True


settings = Settings()


def registry() -> Registry:
    """The components that this call may use."""
    return _registry(settings.third_party)


@cache
def _registry(third_party: bool) -> Registry:
    from lmtool.registry import Registry

    return Registry(third_party=third_party)


def quiet() -> bool:
    return settings.quiet


def answer(text: str) -> None:
    """One line of the answer, to stdout."""
    print(text)


def answer_json(value: Any) -> None:
    """The answer as one JSON object; raises ValueError for a number that JSON does not have."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def write_now(text: str) -> None:
    """Whole lines at once, and now: somebody may be waiting for them."""
    sys.stdout.write(text)
    sys.stdout.flush()


def say(message: str) -> None:
    """Something worth knowing, to stderr, unless `--quiet`."""
    if not settings.quiet:
        _tell(message)


def warn(message: str) -> None:
    """Something that may be wrong, to stderr."""
    _tell(f"warning: {message}")


def error(message: str, hint: str | None = None) -> None:
    """Why the command ends, and the next move."""
    _tell(f"error: {message}")
    if hint:
        _tell(f"hint: {hint}")


def _tell(line: str) -> None:
    """To stderr. If nobody reads it any more, the work goes on all the same."""
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


class _Warnings(logging.Handler):
    """What the core and the plugins log, as warnings on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(" ".join(record.getMessage().split()))


def show_log() -> None:
    """Show what is logged under `lmtool` from the level of warnings on."""
    logger = logging.getLogger("lmtool")
    if not logger.handlers:
        logger.addHandler(_Warnings(logging.WARNING))


def is_animated() -> bool:
    """Whether stderr is a terminal that a progress bar may move on."""
    return sys.stderr.isatty() and not settings.quiet and os.environ.get("TERM") != "dumb"


class Progress(Protocol):
    """What `progress()` hands out."""

    def update(self, phase: str, fraction: float, **fields: str) -> None:
        """Show a phase's name, the fraction done (0 to 1) and short facts such as `loss="4.21"`."""
        ...


class _Plain:
    """A line now and then, for the log of a batch job; silent with `--quiet`."""

    EVERY = 60.0
    """Seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def update(self, phase: str, fraction: float, **fields: str) -> None:
        now = time.monotonic()
        if now - self._last < self.EVERY:
            return
        self._last = now
        facts = [f"{name} {value}" for name, value in fields.items()]
        say("  ".join([f"{phase} {fraction:.0%}", *facts]))


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar on a terminal, a line a minute elsewhere."""
    if not is_animated():
        yield _Plain()
        return
    from lmtool.cli.progress import bar

    with bar() as shown:
        yield shown
