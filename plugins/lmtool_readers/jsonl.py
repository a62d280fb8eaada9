"""JSON Lines: each line is an object and one document."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from lmtool.api import Record
from lmtool.data.text import in_pieces, read_blocks
from lmtool.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_readers.config import JsonLinesConfig

_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonLinesReader:
    """The text of one field of each object; its other fields go along. Blank lines are skipped."""

    def __init__(self, config: JsonLinesConfig) -> None:
        self.field = config.text_field

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
        text = self._text(fields, where)
        for piece, last in in_pieces(text):
            yield Record(piece, last, fields)

    def _text(self, fields: dict[str, Any], where: str) -> str:
        if self.field not in fields:
            names = list(fields)
            hint = f"it has {', '.join(names[:8]) or 'no field'}; `--set data.reader.text_field=NAME` sets another"
            raise DataError(f"{where}: no field '{self.field}'{did_you_mean(self.field, names)}", hint)
        text = fields.pop(self.field)
        if not isinstance(text, str):
            raise DataError(f"{where}: field '{self.field}' must be a string, got {text!r:.40}")
        if not text.isascii() and (half := _SURROGATE.search(text)):  # JSON can spell what UTF-8 cannot
            code = f"\\u{ord(half[0]):04x}"
            raise DataError(
                f"{where}: field '{self.field}' holds {code}, half of a surrogate pair", hint="leave it out"
            )
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.removesuffix("\n")
