"""Files and folders that appear whole or not at all: written under a temporary name beside the real one, then renamed.

What a killed process leaves behind is a hidden sibling (`.NAME.HOST-PID.tmp`) that nobody reads; the next writer of the
same name removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A new folder to write into, which becomes `path` at the end, or vanishes if anything is raised.

    Args:
        path: Must not exist yet, or be empty, unless `replace`.
        replace: True to put it in the place of what is there.

    Raises:
        DataError: if it cannot be written (no space, no permission), or somebody else has made `path` meanwhile.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        scratch = _scratch(path)
        try:
            scratch.mkdir()
            yield scratch
            _rename_folder(scratch, path, replace=replace)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file, or none of it. Raises DataError if it cannot be written."""
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file to write into, which takes the place of `path` at the end, or vanishes if anything is raised.

    Raises:
        DataError: if it cannot be written.
    """
    scratch = _scratch(path)
    with explain_os_errors(path):
        _remove_leftovers(path)
        try:
            with scratch.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def reserve(file: Path) -> None:
    """Give a file with holes its place on the disk: writing a mapped hole on a full one would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            try:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # some file systems cannot
                    raise


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into a DataError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "free some space, or write to another disk" if error.errno in _FULL else None
        raise DataError(f"cannot write {path}: {reason}", hint) from error


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same path; the kernel lets go of it when a process ends.

    The file is removed on leaving.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(path)
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Keep other processes out for as long as the block lasts; the kernel lets go of it when this one ends.

    Args:
        path: A file that stands for what is held; it stays.
        busy: What is said if another process holds it.

    Raises:
        DataError: if one does. A file system without locks lets everybody in.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(busy) from None
        except OSError:
            pass
        yield


def recover_folder(path: Path) -> None:
    """Undo what killed writers of a folder left. Only for whoever knows that nobody else writes it now."""
    for entry in sorted(path.parent.glob(f".{path.name}.*.tmp")):
        if entry.name.endswith(".old.tmp") and not path.exists():
            entry.rename(path)  # killed between the two renames of a replacement
        else:
            shutil.rmtree(entry, ignore_errors=True)


def _locked(path: Path) -> IO[bytes]:
    while True:
        file = path.open("ab")
        try:
            with contextlib.suppress(OSError):  # a file system without locks: work is done twice, nothing worse
                fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # while we waited, the one before us removed it: others wait for a new one


def _scratch(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}.tmp")


def _host() -> str:
    return socket.gethostname().partition(".")[0].replace("-", "_") or "localhost"


def _rename_folder(scratch: Path, path: Path, *, replace: bool) -> None:
    if not replace:
        scratch.rename(path)  # succeeds over nothing and over an empty folder only
        return
    old = path.with_name(f"{scratch.name}.old.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            path.rename(old)
        scratch.rename(path)
    except BaseException:  # also a signal between the two
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(path: Path) -> None:
    """Scratch files and folders of processes of this host that are no longer there."""
    prefix = f".{path.name}.{_host()}-"
    for entry in path.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(".tmp"):
            pid = entry.name[len(prefix) :].partition(".")[0]
            # Our own number: a process before us had it, as the first process of a container that is started again.
            if pid.isdigit() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


__all__ = ["atomic_file", "atomic_folder", "explain_os_errors", "held", "lock", "reserve", "write_atomic"]
