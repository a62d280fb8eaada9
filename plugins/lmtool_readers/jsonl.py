"""JSON Lines: each line is an object and one document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lmtool.data.text import read_blocks
from lmtool.errors import DataError
from lmtool_readers.documents import document, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Record
    from lmtool_readers.config import JsonLinesConfig


class JsonLinesReader:
    """The text of one field of each object, or of several, joined by line ends; its other fields go along.

    Blank lines are skipped.
    """

    def __init__(self, config: JsonLinesConfig) -> None:
        self.fields = [config.text_field] if isinstance(config.text_field, str) else config.text_field
        self.remove = config.remove

    def read(self, source: str) -> Iterator[Record]:
        number = 0
        for block in read_blocks(source):
            for line in block[:-1].split("\n"):
                number += 1
                if line.strip():
                    yield from self._records(line, f"{source}:{number}")

    def _records(self, line: str, where: str) -> Iterator[Record]:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON: {error}", hint="each line must be one object") from None
        if not isinstance(fields, dict):
            raise DataError(f"{where}: must be an object, got {line[:40]}")
        text = text_of(fields, self.fields, where)
        rest = {name: value for name, value in fields.items() if name not in self.fields}
        named = "', '".join(self.fields)
        yield from document(text, rest, remove=self.remove, checked=f"{where}: field '{named}'")
