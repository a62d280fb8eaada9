"""Lines as they come, for commands that are filters: whoever writes a line and waits for its answer gets it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lmtool.data.sources import STDIN
from lmtool.data.text import decode, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ = 1 << 20


def incoming_lines(name: str) -> Iterator[list[str]]:
    """Batches of lines, without their ends: of a file about 1 MB at a time, of stdin whatever is there by now.

    Line ends are as in every text that lmtool reads: `\\n`, `\\r\\n` or `\\r`.

    Args:
        name: A file, compressed or not, or `-`.

    Raises:
        DataError: if it is missing, binary, damaged, or not UTF-8.
    """
    for block in _stdin_blocks() if name == STDIN else read_blocks(name):
        yield block[:-1].split("\n")


def _stdin_blocks() -> Iterator[str]:
    """Whole lines of text, decoded as soon as a read brings the end of one."""
    line, offset, rest = 1, 0, b""
    while data := os.read(sys.stdin.fileno(), _READ):
        whole, newline, rest = (rest + data).rpartition(b"\n")
        if newline:
            yield decode(whole + newline, STDIN, line, offset)
            line += whole.count(b"\n") + 1
            offset += len(whole) + 1
    if rest:
        yield decode(rest, STDIN, line, offset)
