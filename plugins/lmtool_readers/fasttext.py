"""fastText's format: each line is one document, whose words with a prefix are its labels (`__label__x some text`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lmtool.data.text import read_blocks
from lmtool_readers.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Record
    from lmtool_readers.config import FastTextConfig


class FastTextReader:
    """Labels go into the field `label`: one as it is, several as a list. Blank lines are skipped."""

    def __init__(self, config: FastTextConfig) -> None:
        self.remove = config.remove
        self._label = re.compile(rf"(?:(?<=[ \t])|^){re.escape(config.prefix)}([^ \t]+)[ \t]?")

    def read(self, source: str) -> Iterator[Record]:
        for block in read_blocks(source):
            for line in block[:-1].split("\n"):
                if line.strip():
                    yield from document(self._label.sub("", line), self._fields(line), remove=self.remove)

    def _fields(self, line: str) -> dict[str, Any]:
        labels = self._label.findall(line)
        return {"label": labels if len(labels) > 1 else next(iter(labels), None)}


__all__ = ["FastTextReader"]
