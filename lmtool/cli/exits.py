"""How a call of `lmtool` ends: with usable streams, and a true exit code. Light: each call imports it."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from lmtool.errors import ExitCode, LmtoolError

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Closed:
    """Stands for a stdin that was closed: whoever wants to read it is told so."""

    def __getattr__(self, name: str) -> Any:
        raise OSError(errno.EBADF, "it is closed", "stdin")


def prepare_streams() -> None:
    """UTF-8 on stdout, whatever the locale; no stream is None, and no file gets the number of one that was closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdin = sys.stdin or _Closed()
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - open until the end
    if sys.stdout is None:
        _fail("stdout is closed: there is nowhere to write the answer to", "`> /dev/null` throws it away")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What is not UTF-8 in a file's name goes out as it came in.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


@contextmanager
def exit_codes() -> Iterator[None]:
    """A user's problem becomes one line on stderr and its exit code; a bug keeps its traceback."""
    try:
        yield
        sys.stdout.flush()  # so that a full disk or a closed pipe is known here, not at the interpreter's end
    except LmtoolError as error:
        _fail(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", code=ExitCode.INTERRUPTED)
    except OSError as error:
        _explain(error)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Typer and Rich make a 1 of it
            _explain(end.__context__)
        raise


def _fail(message: str, hint: str | None = None, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    from lmtool.cli import terminal

    terminal.error(message, hint)
    raise SystemExit(code) from None


def _explain(error: OSError) -> NoReturn:
    """A full disk or a forbidden file is the user's problem; an error that names no file is ours."""
    if isinstance(error, BrokenPipeError):
        # The reader of our stdout has gone, as `head` does; what it did not want is not a failure.
        sys.stdout = None
        raise SystemExit(ExitCode.OK) from None
    out_of_space = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if error.filename is None and not out_of_space:
        raise error
    where = f"{error.filename}: " if error.filename else ""
    hint = "free some space and run the same command again" if out_of_space else None
    _fail(f"{where}{(error.strerror or str(error)).lower()}", hint)
