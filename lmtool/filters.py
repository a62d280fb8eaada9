"""Lines as they come, for commands that are filters: whoever writes a line and waits for its answer gets it."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, TypeVar, cast

from lmtool.data.sources import COMPRESSIONS, STDIN
from lmtool.data.text import decode, read_blocks

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

_READ = 1 << 20

Block = TypeVar("Block")
Answer = TypeVar("Answer")


def incoming_lines(name: str) -> Iterator[list[str]]:
    """The lines of `incoming_text`, without their ends."""
    for block in incoming_text(name):
        if block:
            yield block[:-1].split("\n")


def incoming_text(name: str) -> Iterator[str]:
    """Lines, each with its `\\n`: of a file about 1 MB at a time, of stdin whatever is there by now.

    An empty block says that no more is there for now: who holds answers back gives them before asking for the next.

    Line ends are as in every text that lmtool reads: `\\n`, `\\r\\n` or `\\r`.

    Args:
        name: A file or `-`, compressed or not; what is compressed comes about 1 MB at a time.

    Raises:
        DataError: if it is missing, binary, damaged, or not UTF-8.
    """
    yield from _stdin_blocks() if name == STDIN and not _is_compressed() else read_blocks(name)


def answers(blocks: Iterator[Block | None], answer: Callable[[Block], Answer], threads: int) -> Iterator[Answer]:
    """What becomes of each block, in order, while the next ones are read.

    Args:
        blocks: From `incoming_text`, or made of these; what is empty, or None, says that no more is there for now.
        answer: What each is given to; if there are `threads`, by several of them at once.
        threads: 0 to do everything in this one.
    """
    for block in blocks:
        if block:
            yield answer(block)
            if threads:  # what is made on first use has been made, and once
                break
    if threads:
        yield from _side_by_side(blocks, answer, threads)


def _side_by_side(blocks: Iterator[Block | None], answer: Callable[[Block], Answer], threads: int) -> Iterator[Answer]:
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for block in blocks:
                if block:
                    pending.append(pool.submit(answer, block))
                while pending and (len(pending) > threads or not block):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for one in pending:
                one.cancel()


def _is_compressed() -> bool:
    """Whether stdin is, by its first bytes; takes nothing from it."""
    return _stdin().peek(8).startswith(tuple(COMPRESSIONS.values()))


def _stdin() -> io.BufferedReader:
    return cast("io.BufferedReader", sys.stdin.buffer)


def _stdin_blocks() -> Iterator[str]:
    """Whole lines of text, decoded as soon as a read brings the end of one."""
    line, offset = 1, 0
    pending: list[bytes] = []  # pieces of a line without its end: joined once, however many they are
    for data in _stdin_reads():
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            block = b"".join([*pending, whole, newline])
            yield decode(block, STDIN, line, offset)
            line += block.count(b"\n")
            offset += len(block)
            pending = []
        pending.append(rest)
        if not _more_is_there():
            yield ""
    if last := b"".join(pending):
        yield decode(last, STDIN, line, offset)


def _stdin_reads() -> Iterator[bytes]:
    """All that is there by now, up to about 1 MB, again and again: a pipe gives 64 KB at a time."""
    data = _stdin().read1(_READ)
    while data:
        pieces, size = [data], len(data)
        while size < _READ and _more_is_there() and (data := _stdin().read1(_READ)):
            pieces.append(data)
            size += len(data)
        yield b"".join(pieces)
        data = data and _stdin().read1(_READ)  # after its end, a terminal would be read on


def _more_is_there() -> bool:
    """Whether the next read of stdin comes back at once."""
    import select

    try:
        return bool(select.select([_stdin().fileno()], [], [], 0)[0])
    except (OSError, ValueError):  # no file of the operating system, or a number that `select` does not take
        return False
