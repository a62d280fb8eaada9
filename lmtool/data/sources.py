"""Names of sources to bytes: files, globs, folders, `-` and `scheme:name`, whatever they are compressed with."""

from __future__ import annotations

import atexit
import bz2
import contextlib
import glob
import gzip
import io
import lzma
import re
import shutil
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from lmtool.errors import DataError
from lmtool.files import explain_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"
COMPRESSIONS = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00", ".zst": b"\x28\xb5\x2f\xfd"}
"""Suffix and the first bytes of each compression that is undone on the way."""

_SCHEME = re.compile(r"([a-z][a-z0-9-]*):(.*)", re.DOTALL)
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError)


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that a reader reads."""

    name: str
    """As a user would write it: a path, `-`, or `scheme:name`."""
    scheme: str | None = None
    """The reader's name, for data sets by name."""

    @property
    def target(self) -> str:
        """What the reader is given: the name without the scheme."""
        return self.name[len(self.scheme) + 1 :] if self.scheme else self.name

    @property
    def path(self) -> Path | None:
        """None for stdin and for data sets by name."""
        return None if self.scheme or self.name == STDIN else Path(self.name)

    @property
    def suffix(self) -> str:
        """`.jsonl` of `corpus.jsonl.xz`: what says the format."""
        return format_suffix(self.name) if self.path else ""


def format_suffix(name: str) -> str:
    """The suffix that says the format, below the one that says the compression.

    >>> format_suffix("corpus.jsonl.xz")
    '.jsonl'
    """
    path = Path(name)
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
    return inner.suffix.lower()


def expand(specs: Iterable[str], suffixes: frozenset[str]) -> list[Source]:
    """The sources that names, globs and folders stand for, in the given order; sorted within a glob or a folder.

    Args:
        specs: What the user wrote.
        suffixes: Formats that are picked up from a folder; a file that is named itself is read whatever its suffix.

    Raises:
        DataError: if a file is missing, a glob matches nothing, or a folder holds no such file.
    """
    return [source for spec in specs for source in _expand_one(spec, suffixes)]


def _expand_one(spec: str, suffixes: frozenset[str]) -> list[Source]:
    path = Path(spec)
    if path.is_dir():
        return _files_of_folder(path, suffixes)
    if spec == STDIN or path.exists():
        return [Source(spec)]
    if any(mark in spec for mark in "*?["):
        found = sorted(name for name in glob.glob(spec, recursive=True) if Path(name).is_file())
        if not found and not _SCHEME.fullmatch(spec):
            raise DataError(f"no file matches '{spec}'", hint=f"`ls {_fixed_part(spec)}` shows what is there")
        if found:
            return [Source(name) for name in found]
    if match := _SCHEME.fullmatch(spec):
        return [Source(spec, match[1])]
    hint = f"the folder {path.parent} does not exist either" if not path.parent.is_dir() else None
    raise DataError(f"no file {spec}", hint or f"`ls {path.parent}` shows what is there")


def _fixed_part(pattern: str) -> Path:
    """The folder that a pattern starts in."""
    parts = Path(pattern).parts
    magic = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:magic]) if magic else Path()


def _files_of_folder(folder: Path, suffixes: frozenset[str]) -> list[Source]:
    found = sorted(
        str(path)
        for path in folder.rglob("*")
        if format_suffix(path.name) in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        known = " ".join(sorted(suffixes))
        raise DataError(f"folder {folder} holds no text files", hint=f"looked for {known}, compressed or not")
    return [Source(name) for name in found]


_bytes_read = 0


def bytes_read() -> int:
    """Bytes that this process has taken from files through `open_source`, before decompression: for progress bars."""
    return _bytes_read


class _Counted(io.RawIOBase):
    """Passes reads on and counts them."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        global _bytes_read
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        _bytes_read += len(data)
        return len(data)


class _Zstandard(io.RawIOBase):
    """Frames of Zstandard one after the other; unlike the library's own reader, it notices where one is cut short."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._raw, self._library = raw, zstandard
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside, self._pending = False, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._pending:
            data = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._inside = self._library.ZstdDecompressor().decompressobj(), False
            data = data or self._raw.read(1 << 16)
            if not data:
                if self._inside:
                    raise EOFError("compressed file ended before the end-of-stream marker was reached")
                return 0
            self._inside = True
            try:
                self._pending = self._frame.decompress(data)
            except self._library.ZstdError as error:
                raise EOFError(str(error)) from None
        size = min(len(buffer), len(self._pending))
        buffer[:size], self._pending = self._pending[:size], self._pending[size:]
        return size


@contextlib.contextmanager
def open_source(name: str) -> Iterator[IO[bytes]]:
    """A file's bytes, or stdin's for `-`, decompressed: by suffix, or by the first bytes where the suffix says nothing.

    Raises:
        DataError: if it cannot be opened, or is not what its suffix says.
    """
    with contextlib.ExitStack() as stack:
        try:
            raw = _open_raw(name, stack)
            file = stack.enter_context(io.BufferedReader(_Counted(raw), 1 << 20))
            head = file.peek(8)[:8]
        except OSError as error:
            raise cannot_read(name, error) from None
        yield stack.enter_context(_decompress(_compression(name, head), file))


def _open_raw(name: str, stack: contextlib.ExitStack) -> BinaryIO:
    if name == STDIN and name not in _spools:
        return sys.stdin.buffer
    return stack.enter_context(_spools.get(name, Path(name)).open("rb", buffering=0))


_spools: dict[str, Path] = {}


def spool(name: str) -> Path:
    """Keep what stdin or a pipe gives in a temporary file; `open_source` reads that from then on, as often as asked.

    Raises:
        DataError: if it cannot be read, or the file cannot be written.
    """
    if name not in _spools:
        file = tempfile.NamedTemporaryFile(prefix="lmtool-spool-")  # noqa: SIM115 - removed when this process ends
        atexit.register(file.close)
        with contextlib.ExitStack() as stack:
            try:
                raw = _open_raw(name, stack)
            except OSError as error:
                raise cannot_read(name, error) from None
            with explain_os_errors(Path(file.name)):
                shutil.copyfileobj(raw, file, 1 << 20)
                file.flush()
        _spools[name] = Path(file.name)
    return _spools[name]


def _compression(name: str, head: bytes) -> str | None:
    """Which compression a file has. Raises DataError if that is not what its suffix says."""
    suffix = Path(name).suffix.lower() if name != STDIN else ""
    if suffix in COMPRESSIONS and head and not head.startswith(COMPRESSIONS[suffix]):
        raise DataError(f"{name} is named {suffix} but does not hold such data", hint="make or fetch the file again")
    kind = next((kind for kind, magic in COMPRESSIONS.items() if head.startswith(magic)), None)
    if kind == ".bz2" and head[4:7] != b"1AY" and suffix != ".bz2":
        return None  # a text may start with "BZh"
    return kind


def _decompress(kind: str | None, file: io.BufferedReader[Any]) -> IO[bytes]:
    if kind == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if kind == ".bz2":
        return cast("IO[bytes]", bz2.BZ2File(file))
    if kind == ".xz":
        return cast("IO[bytes]", lzma.LZMAFile(file))
    if kind == ".zst":
        return cast("IO[bytes]", io.BufferedReader(_Zstandard(file), 1 << 20))
    return cast("IO[bytes]", file)


def read_chunks(name: str, size: int = 1 << 20) -> Iterator[bytes]:
    """The decompressed bytes of a source, in pieces. Raises DataError if it is damaged or cut short."""
    with open_source(name) as file:
        while True:
            try:
                chunk = file.read(size)
            except _DAMAGED as error:
                raise damaged(name, error) from None
            if not chunk:
                return
            yield chunk


def cannot_read(name: str, error: OSError) -> DataError:
    """The error for a source that the operating system does not let us read."""
    return DataError(f"cannot read {name}: {(error.strerror or str(error)).lower()}")


def damaged(name: str, error: Exception) -> DataError:
    """The error for a source that could be opened but not read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{name} is damaged or cut short: {reason.lower()}", hint="make or fetch the file again")


__all__ = [
    "STDIN",
    "Source",
    "bytes_read",
    "cannot_read",
    "damaged",
    "expand",
    "format_suffix",
    "open_source",
    "read_chunks",
    "spool",
]
