"""What can go wrong for a user, and the exit code that says so.

`LmtoolError` and its subclasses are the user's problem: the command line prints them to stderr as one line
(`error: …`), with a `hint: …` line where there is a next move, and exits with their code. Anything else is a bug of
ours or of a plugin, and keeps its traceback.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees. Documented in `docs/reference/exit-codes.md`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PLUGIN = 3
    DIVERGED = 4
    SAVED = 75
    INTERRUPTED = 130


class LmtoolError(Exception):
    """A problem that the user can solve.

    Args:
        message: Lower-case, one line; names the thing, its value and what was possible.
        hint: The next move, as a command where there is one.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split()) if hint else None


class UsageError(LmtoolError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A config file or `--set` holds an unknown key or a wrong value."""


class DataError(LmtoolError):
    """A file, a text, a dataset or a run is missing, damaged or of the wrong kind."""


class PluginError(LmtoolError):
    """A plugin that the command needs is missing, broken or ambiguous."""

    exit_code = ExitCode.PLUGIN


class DivergedError(LmtoolError):
    """The training loss is no longer a finite number."""

    exit_code = ExitCode.DIVERGED


class Interrupted(LmtoolError):
    """Training was asked to stop (SIGTERM, SIGUSR1, SIGINT) and has saved its state; the same command goes on."""

    exit_code = ExitCode.SAVED


def did_you_mean(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The part of a message that offers the nearest known name, or nothing.

    >>> did_you_mean("ltsm", ["cnn", "lstm"])
    " (did you mean 'lstm'?)"
    >>> did_you_mean("zzz", ["cnn", "lstm"])
    ''
    """
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
