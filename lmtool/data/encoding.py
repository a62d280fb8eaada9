"""Records to ids: in this process for a small text, on all cores for a large one; the order is kept either way.

All cores are threads where the tokenizer takes whole texts, which it does without the interpreter's lock; processes
otherwise.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from lmtool.data.counts import Counts, count
from lmtool.data.workers import Workers
from lmtool.data.writer import smallest_type

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from lmtool.api import Record, TextTokenizer, Tokenizer

BLOCK_CHARS = 1 << 19
"""Small records are encoded together up to about so many characters; a larger one is encoded as it is."""
MOST_THREADS = 4
"""More would wait for the text, and each holds some blocks."""
SMALL = 4
"""Blocks that are encoded in this process before other processes are started, which takes them a while."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records, joined."""

    text: str
    """Lines joined by `\\n`."""
    document_ends: tuple[int, ...]
    """For each document that ends in this block, the number of lines of the block up to its end."""
    num_lines: int


class Encoded(NamedTuple):
    """A block's ids and figures."""

    ids: np.ndarray
    """[N] in the smallest unsigned type, `eos_id` after each line."""
    counts: Counts
    document_ends: np.ndarray
    """int64: for each document that ends here, the offset in `ids` behind its last id."""


def blocks(records: Iterable[Record], size: int) -> Iterator[Block]:
    """Records in blocks of at least `size` characters, but for the last."""
    texts: list[str] = []
    ends: list[int] = []
    chars = lines = 0
    for record in records:
        texts.append(record.text)
        chars += len(record.text) + 1
        lines += record.text.count("\n") + 1
        if record.last:
            ends.append(lines)
        if chars >= size:
            yield Block("\n".join(texts), tuple(ends), lines)
            texts, ends, chars, lines = [], [], 0, 0
    if texts:
        yield Block("\n".join(texts), tuple(ends), lines)


def encode_text(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """int [N]: the ids of lines that each end with `\n`, by the tokenizer's fastest way."""
    if takes_text(tokenizer):
        return np.asarray(cast("TextTokenizer", tokenizer).encode_text(text))
    return np.asarray(tokenizer.encode_batch(text.split("\n")[:-1]))


def takes_text(tokenizer: Tokenizer) -> bool:
    """Whether threads can encode side by side."""
    return hasattr(tokenizer, "encode_text")


def encode_block(tokenizer: Tokenizer, block: Block) -> Encoded:
    """Pure: the same in any thread and process."""
    ids = encode_text(tokenizer, block.text + "\n")
    line_ends = np.flatnonzero(ids == tokenizer.eos_id) + 1
    if len(line_ends) != block.num_lines:
        raise ValueError(f"{type(tokenizer).__name__} gave {len(line_ends)} line ends for {block.num_lines} lines")
    document_ends = line_ends[np.array(block.document_ends, np.int64) - 1]
    return Encoded(ids.astype(smallest_type(tokenizer.vocab_size)), count(tokenizer, block.text, ids), document_ends)


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
            yield from _in_order(lambda one: pool.submit(encode_block, tokenizer, one), everything, threads + 1)
        return
    # The processes end first: a thread waits for what its process answers.
    with ThreadPoolExecutor(processes) as pool, Workers(tokenizer, processes) as workers:
        yield from _in_order(lambda one: pool.submit(workers.encode, one), everything, 2 * processes)


def _in_order(submit: Callable[[Block], Future[Encoded]], waiting: Iterator[Block], ahead: int) -> Iterator[Encoded]:
    """Each block's result, with so many under way that no process waits for another."""
    pending = deque(map(submit, islice(waiting, ahead)))
    try:
        for block in waiting:
            done = pending.popleft().result()
            pending.append(submit(block))
            yield done
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def available_cores() -> int:
    """Cores that this process may use: what `taskset` or a batch system left it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = [
    "MOST_THREADS",
    "Block",
    "Encoded",
    "available_cores",
    "blocks",
    "encode",
    "encode_block",
    "encode_text",
    "takes_text",
]
