"""Records to ids: in this process for a small text, on all cores for a large one; the order is kept either way.

All cores are threads where the tokenizer takes whole texts, which it does without the interpreter's lock; processes
otherwise.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from lmtool.data.blocks import BLOCK_CHARS, Encoded, blocks, encode_block, takes_text
from lmtool.data.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from lmtool.api import Record, Tokenizer

Work = TypeVar("Work")
Result = TypeVar("Result")

MOST_THREADS = 4
"""More would wait for the text, and each holds some blocks."""
SMALL = 4
"""Blocks that are encoded in this process before other processes are started, which takes them a while."""


def encode(
    tokenizer: Tokenizer, records: Iterable[Record], *, processes: int | None = None
) -> Generator[Encoded, None, None]:
    """The ids of all records, block by block, in order.

    Args:
        tokenizer: Must be picklable: other processes get a copy.
        records: Are read in this process, a few blocks ahead.
        processes: Or threads, that encode a large text; by default, one for each core that this process may use.
    """
    processes = available_cores() if processes is None else processes
    waiting = blocks(records, BLOCK_CHARS)
    small = list(islice(waiting, SMALL)) if processes > 1 else []
    if len(small) < SMALL:
        yield from (encode_block(tokenizer, block) for block in chain(small, waiting))
        return
    everything = chain(small, waiting)
    if takes_text(tokenizer):
        threads = min(processes, MOST_THREADS)
        with ThreadPoolExecutor(threads) as pool:
            yield encode_block(tokenizer, next(everything))  # what the tokenizer makes on first use is made once
            yield from in_order(lambda one: pool.submit(encode_block, tokenizer, one), everything, threads + 1)
        return
    # The processes end first: a thread waits for what its process answers.
    with ThreadPoolExecutor(processes) as pool, Workers(tokenizer, processes) as workers:
        yield from in_order(lambda one: pool.submit(workers.encode, one), everything, 2 * processes)


def in_order(submit: Callable[[Work], Future[Result]], waiting: Iterator[Work], ahead: int) -> Iterator[Result]:
    """Each result, with so many under way that nobody waits for another. Who stops, by a signal say, does not wait for
    those that have not begun."""
    pending = deque(map(submit, islice(waiting, ahead)))
    try:
        for work in waiting:
            done = pending.popleft().result()
            pending.append(submit(work))
            yield done
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def available_cores() -> int:
    """Cores that this process may use: what `taskset` or a batch system left it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["MOST_THREADS", "available_cores", "encode", "in_order"]
