"""CSV and TSV: each row is one document, its text in one column; the other columns are fields."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from lmtool.data.text import read_blocks
from lmtool.errors import DataError
from lmtool_readers.documents import document, no_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Record
    from lmtool_readers.config import CsvConfig

LONGEST = 1 << 26
"""Characters of a field. A quotation that nothing ends would be all the rest of a file."""


class TableReader:
    """Rows as Python's `csv` module reads them, quotation marks checked. Blank rows are skipped."""

    def __init__(self, config: CsvConfig) -> None:
        self.config = config

    def read(self, source: str) -> Iterator[Record]:
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
        rows = self._rows(source)
        names: list[str] | None = None
        for number, row in rows:
            where = f"{source}:{number}"
            if names is None:
                names = self._names(row, where)
                text, label = self._columns(names, where)
                if self.config.header:
                    continue
            if len(row) != len(names):
                hint = "fields that hold the delimiter must be quoted; data.reader has `delimiter` and `quote`"
                raise DataError(f"{where}: {len(row)} fields, and the first row has {len(names)}", hint)
            fields: dict[str, Any] = dict(zip(names, row, strict=True))
            content = fields.pop(names[text])
            if label is not None:
                fields[names[label]] = self._labels(fields[names[label]])
            yield from document(content, fields, remove=self.config.remove)

    def _rows(self, source: str) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank, with the number of its first line."""
        quote = self.config.quote
        rows = csv.reader(
            _lines(source, self.config.encoding),
            delimiter=self.config.delimiter,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )
        while True:
            number = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                what = f"{source}:{number}: not a row: {str(error).replace(chr(9), 'tab')}"
                raise DataError(what, hint='`data.reader.quote = ""` if quotation marks are only signs there') from None
            if row:
                yield number, row

    def _names(self, row: list[str], where: str) -> list[str]:
        names = [(self.config.header and name) or str(number) for number, name in enumerate(row, 1)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"{where}: two columns are named '{twice}'", hint="name them apart, or set header = false")
        return names

    def _columns(self, names: list[str], where: str) -> tuple[int, int | None]:
        """The places of text and, where labels are to be divided, labels."""
        text = _place(self.config.text_field, names, where, "text_field")
        if self.config.label_separator is None:
            return text, None
        return text, _place(self.config.label_field, names, where, "label_field")

    def _labels(self, value: str) -> list[str]:
        return [name for part in value.split(self.config.label_separator) if (name := part.strip())]


def _place(wanted: str | int, names: list[str], where: str, setting: str) -> int:
    if isinstance(wanted, int) and 1 <= wanted <= len(names):
        return wanted - 1
    if wanted not in names:
        raise no_field(where, str(wanted), names, what="column", setting=setting)
    return names.index(str(wanted))


def _lines(source: str, encoding: str) -> Iterator[str]:
    for block in read_blocks(source, encoding=encoding):
        yield from (f"{line}\n" for line in block[:-1].split("\n"))


__all__ = ["TableReader"]
