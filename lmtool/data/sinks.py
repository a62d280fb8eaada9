"""A name to a file that bytes are written into: whole or not at all, compressed as its suffix says; `-` is stdout."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from lmtool.data.sources import COMPRESSIONS
from lmtool.files import atomic_file, explain_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = "-"


@contextlib.contextmanager
def open_sink(name: str) -> Iterator[IO[bytes]]:
    """What is written here appears under the name at the end; if anything is raised, what was there stays.

    A device, a pipe or a link is written to as it is: to put a file in the place of `/dev/null` would be no favour.

    Args:
        name: A file's path, ending in `.gz`, `.bz2`, `.xz` or `.zst` to have it compressed; `-` for stdout.

    Raises:
        DataError: if it cannot be written.
    """
    if name == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    in_place = path.is_symlink() or (path.exists() and not path.is_file())
    with (
        _existing(path) if in_place else atomic_file(path) as raw,
        _compressed(path.suffix.lower(), raw) as file,
    ):
        yield file


@contextlib.contextmanager
def _existing(path: Path) -> Iterator[IO[bytes]]:
    with explain_os_errors(path), path.open("wb") as file:
        yield file


def _compressed(suffix: str, raw: IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
    """Levels that keep up with what writes: the smallest file of each kind would take ten times as long."""
    if suffix not in COMPRESSIONS:
        return contextlib.nullcontext(raw)
    opened: object
    if suffix == ".gz":
        import gzip

        # Without name and time: the same content gives the same file.
        opened = gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0)
    elif suffix == ".bz2":
        import bz2

        opened = bz2.BZ2File(raw, "wb")
    elif suffix == ".xz":
        import lzma

        opened = lzma.LZMAFile(raw, "wb", preset=2)  # noqa: SIM115 - the caller does
    else:
        import zstandard

        opened = zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False)
    return cast("contextlib.AbstractContextManager[IO[bytes]]", opened)


__all__ = ["STDOUT", "open_sink"]
