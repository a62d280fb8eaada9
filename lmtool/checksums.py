"""A folder's files and their sha256, in the form that `sha256sum --check SHA256SUMS` reads.

Hashing gigabytes takes seconds, so that a folder can also be checked quickly: for each file `SHA256SPOTS` has its size
and the sha256 of `SPOTS` pieces spread over it. That finds a file that is cut, missing, exchanged, or damaged over more
than a fifteenth of its length without a gap; a few bytes that are wrong are found by the whole check only.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from lmtool.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "SHA256SUMS"
SPOTS_NAME = "SHA256SPOTS"
SPOTS = 16
"""Pieces of a file that are looked at by the quick check."""
SPOT = 4096
"""Bytes of a piece."""
QUICK = 4 << 20
"""Bytes that the quick check reads wholly: the smallest files, as many as fit."""


def write_checksums(folder: Path) -> None:
    """Write `SHA256SUMS` and `SHA256SPOTS` for all files below the folder."""
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and only for writing

    names = _files(folder)
    spots = [f"{_spots(path)}  {path.stat().st_size}  {name}\n" for name in names for path in [folder / name]]
    (folder / SPOTS_NAME).write_text("".join(spots), encoding="utf-8")
    names = _files(folder)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        sums = pool.map(_sha256, [folder / name for name in names])
        lines = [f"{one}  {name}\n" for one, name in zip(sums, names, strict=True)]
    (folder / NAME).write_text("".join(lines), encoding="utf-8")


def verify_checksums(folder: Path, *, quick: bool = False, hint: str | None = None) -> None:
    """Raise DataError naming the first file that is missing or not what was written.

    Args:
        folder: Holds `SHA256SUMS`.
        quick: Read of large files only sizes and spots; milliseconds instead of seconds a gigabyte.
        hint: What the user can do.
    """
    sums = _sums(folder, hint)
    wholly = list(sums)
    if quick and SPOTS_NAME in sums:  # what was written before there were spots is read wholly
        _verify(folder / SPOTS_NAME, sums[SPOTS_NAME], hint)
        wholly = _verify_spots(folder, set(sums), hint)
    for name in wholly:
        _verify(folder / name, sums[name], hint)


def _sums(folder: Path, hint: str | None) -> dict[str, str]:
    """The checksum of each file that is listed."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{folder} is damaged: {NAME} cannot be read", hint) from None
    sums = {name: expected for expected, _, name in (line.partition("  ") for line in lines)}
    for name in _files(folder):
        if name not in sums:  # a list that was cut short would let everything pass
            raise DataError(f"{folder} is damaged: {NAME} does not list {name}", hint)
    return sums


def _verify(path: Path, expected: str, hint: str | None) -> None:
    try:
        found = _sha256(path)
    except OSError as error:
        raise _unreadable(path, error, hint) from None
    if found != expected:
        raise DataError(f"{path} is damaged: its checksum is {found[:12]}…, not {expected[:12]}…", hint)


def _verify_spots(folder: Path, listed: set[str], hint: str | None) -> list[str]:
    """Check sizes of all files and spots of the large ones; returns the small ones, which are to be read wholly."""
    lines = (folder / SPOTS_NAME).read_text(encoding="utf-8").splitlines()
    try:
        facts = [(int(size), name, spots) for spots, size, name in (line.split("  ", 2) for line in lines)]
    except ValueError:
        raise DataError(f"{folder / SPOTS_NAME} is damaged: its lines are not what was written", hint) from None
    if unlisted := {name for _, name, _ in facts} - listed:
        raise DataError(f"{folder} is damaged: {NAME} does not list {min(unlisted)}", hint)
    small, total = [name for name in listed - {name for _, name, _ in facts} if name != SPOTS_NAME], 0
    for size, name, expected in sorted(facts):
        path = folder / name
        try:
            if (found := path.stat().st_size) != size:
                raise DataError(f"{path} is damaged: it has {found:,} bytes, not {size:,}", hint)
            total += size
            if total <= QUICK:
                small.append(name)
            elif _spots(path) != expected:
                raise DataError(f"{path} is damaged: a part of it is not what was written", hint)
        except OSError as error:
            raise _unreadable(path, error, hint) from None
    return small


def _unreadable(path: Path, error: OSError, hint: str | None) -> DataError:
    return DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}", hint)


def _files(folder: Path) -> list[str]:
    """All files below the folder but the checksums themselves, sorted."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != NAME)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spots(path: Path) -> str:
    """The sha256 of pieces of a file at equal distances, its first and its last among them."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        last = max(path.stat().st_size - SPOT, 0)
        for offset in sorted({last * i // (SPOTS - 1) for i in range(SPOTS)}):
            digest.update(os.pread(file.fileno(), SPOT, offset))
    return digest.hexdigest()


__all__ = ["verify_checksums", "write_checksums"]
