"""`parallel:SOURCE,TARGET`: plain files side by side, in which line n of one is answered by line n of the other."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.api import Record
from lmtool.data.text import read_blocks
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_readers.config import ParallelConfig

FORM = "`parallel:train.en,train.de` names the source's file, a comma, and that of its targets"


class ParallelReader:
    """Each line of the first file is a document, and the field `target` that of the second.

    Further files hold more references: then `target` is a list, without those that are blank.
    """

    def __init__(self, config: ParallelConfig) -> None:
        self.config = config

    def files(self, source: str) -> list[str]:
        """See `lmtool.api.Reader`. Raises DataError if one is missing, or there are fewer than two."""
        names = source.split(",")
        if len(names) < 2 or not all(names):
            raise DataError(f"{source} is not two files apart by a comma", hint=FORM)
        if "-" in names:
            raise DataError(
                f"parallel:{source}: stdin has no name here", hint="`parallel:<(command),FILE` reads a pipe"
            )
        if missing := next((name for name in names if not Path(name).exists()), None):
            hint = "a file whose name has a comma needs another name" if len(names) > 2 else None
            raise DataError(f"no file {missing}", hint or f"`ls {Path(missing).parent}` shows what is there")
        return names

    def read(self, source: str) -> Iterator[Record]:
        names = self.files(source)
        rows = zip_longest(*(self._lines(name) for name in names))
        for number, row in enumerate(rows, 1):
            if None in row:
                raise _uneven(names, number, row, rows)
            text, target, *more = row
            if self.config.skip_blank and not (text.strip() and target.strip()):
                continue
            if not target.strip():
                hint = "`--set data.reader.skip_blank=true` leaves out pairs of which one side is blank"
                raise DataError(f"{names[1]}:{number}: a target is blank", hint)
            references = [target, *(one for one in more if one.strip())]
            yield Record(text, fields={"target": references if more else target})

    def _lines(self, name: str) -> Iterator[str]:
        for block in read_blocks(name, encoding=self.config.encoding):
            yield from block[:-1].split("\n")


def _uneven(names: list[str], number: int, row: tuple[Any, ...], rest: Iterator[tuple[Any, ...]]) -> DataError:
    """The error for files of which one ends before the others do: at row `number`, counted from 1."""
    lines = [number - (one is None) for one in row]
    for others in rest:
        lines = [count + (one is not None) for count, one in zip(lines, others, strict=True)]
    counts = " and ".join(f"{name} has {count:,} lines" for name, count in zip(names, lines, strict=True))
    return DataError(counts, hint="line n of each file must belong together, so they need the same number of lines")


__all__ = ["ParallelReader"]
