"""Plain text: each file is one document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.api import Record
from lmtool.data.text import BLOCK, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.config import Config


class TextReader:
    """Whole lines in blocks of about 1 MB. An empty file has no lines and gives no record.

    Args:
        config: None of its own.
        block: Bytes of a block; a longer line is given as a whole.
    """

    def __init__(self, config: Config | None = None, block: int = BLOCK) -> None:
        self.block = block

    def read(self, source: str) -> Iterator[Record]:
        previous: str | None = None
        for text in read_blocks(source, self.block):
            if previous is not None:
                yield Record(previous[:-1], last=False)
            previous = text
        if previous is not None:
            yield Record(previous[:-1])
