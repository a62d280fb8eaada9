"""A folder's files and their sha256, in the form that `sha256sum --check SHA256SUMS` reads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lmtool.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "SHA256SUMS"


def write_checksums(folder: Path) -> None:
    """Write `SHA256SUMS` for all files below the folder."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / NAME).write_text("".join(lines), encoding="utf-8")


def verify_checksums(folder: Path, *, hint: str | None = None) -> None:
    """Raise DataError naming the first file that is missing or not what was written.

    Args:
        folder: Holds `SHA256SUMS`.
        hint: What the user can do.
    """
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{folder} is damaged: {NAME} cannot be read", hint) from None
    listed = {line.partition("  ")[2] for line in lines}
    for name in _files(folder):
        if name not in listed:  # a list that was cut short would let everything pass
            raise DataError(f"{folder} is damaged: {NAME} does not list {name}", hint)
    for line in lines:
        expected, _, name = line.partition("  ")
        path = folder / name
        try:
            found = _sha256(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}", hint) from None
        if found != expected:
            raise DataError(f"{path} is damaged: its checksum is {found[:12]}…, not {expected[:12]}…", hint)


def _files(folder: Path) -> list[str]:
    """All files below the folder but the checksums themselves, sorted."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != NAME)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["verify_checksums", "write_checksums"]
