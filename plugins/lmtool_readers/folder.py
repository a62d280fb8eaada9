"""`folder:PATH`: a folder with one sub-folder a class, in which each file is one document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lmtool.data.sources import read_chunks
from lmtool.data.text import decode
from lmtool.errors import DataError, did_you_mean
from lmtool_readers.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Record
    from lmtool_readers.config import FolderConfig


class FolderReader:
    """Classes and files sorted by name, those in deeper folders included, hidden ones left out.

    Fields: `label`, the sub-folder's name, and `file`, the file's path below `PATH`. Files that lie in no sub-folder
    belong to no class and are not read.
    """

    def __init__(self, config: FolderConfig) -> None:
        self.config = config

    def read(self, source: str) -> Iterator[Record]:
        root = Path(source)
        for label in self._classes(root):
            for path in _files(root / label):
                text = decode(b"".join(read_chunks(str(path))), str(path), 1, 0, self.config.encoding)
                fields = {"label": label, "file": str(path.relative_to(root))}
                yield from document(text, fields, remove=self.config.remove)

    def _classes(self, root: Path) -> list[str]:
        """Names of sub-folders. Raises DataError if there are none, or not all that are wanted."""
        if not root.is_dir():
            what = f"{root} is a file, not a folder" if root.exists() else f"no folder {root}"
            raise DataError(what, hint="`folder:PATH` names a folder with one sub-folder a class")
        found = sorted(one.name for one in os.scandir(root) if one.is_dir() and not one.name.startswith("."))
        if not found:
            raise DataError(f"folder {root} has no sub-folders", hint="each class is a sub-folder of text files")
        for name in self.config.classes:
            if name not in found:
                what = f"folder {root} has no sub-folder '{name}'{did_you_mean(name, found)}"
                raise DataError(what, hint=f"it has {', '.join(found[:12])}; data.reader.classes names others")
        return [name for name in found if name in self.config.classes] if self.config.classes else found


def _files(folder: Path) -> list[Path]:
    """All files below a folder, sorted by path; hidden ones left out."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


__all__ = ["FolderReader"]
