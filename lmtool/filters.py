"""Lines as they come, for commands that are filters: whoever writes a line and waits for its answer gets it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from lmtool.data.sources import COMPRESSIONS, STDIN
from lmtool.data.text import decode, read_blocks

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_READ = 1 << 20


def incoming_lines(name: str) -> Iterator[list[str]]:
    """Batches of lines, without their ends: of a file about 1 MB at a time, of stdin whatever is there by now.

    Line ends are as in every text that lmtool reads: `\\n`, `\\r\\n` or `\\r`.

    Args:
        name: A file or `-`, compressed or not; what is compressed comes about 1 MB at a time.

    Raises:
        DataError: if it is missing, binary, damaged, or not UTF-8.
    """
    for block in _stdin_blocks() if name == STDIN and not _is_compressed() else read_blocks(name):
        yield block[:-1].split("\n")


def _is_compressed() -> bool:
    """Whether stdin is, by its first bytes; takes nothing from it."""
    return _stdin().peek(8).startswith(tuple(COMPRESSIONS.values()))


def _stdin() -> io.BufferedReader:
    return cast("io.BufferedReader", sys.stdin.buffer)


def _stdin_blocks() -> Iterator[str]:
    """Whole lines of text, decoded as soon as a read brings the end of one."""
    line, offset = 1, 0
    pending: list[bytes] = []  # pieces of a line without its end: joined once, however many they are
    while data := _stdin().read1(_READ):
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            block = b"".join([*pending, whole, newline])
            yield decode(block, STDIN, line, offset)
            line += block.count(b"\n")
            offset += len(block)
            pending = []
        pending.append(rest)
    if last := b"".join(pending):
        yield decode(last, STDIN, line, offset)
