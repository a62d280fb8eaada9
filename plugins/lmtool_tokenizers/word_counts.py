"""Occurrences of the words of a text, counted on some cores while the next of it is read."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from lmtool.data.encoding import MOST_THREADS, available_cores
from lmtool_tokenizers.word_table import WordCounter

if TYPE_CHECKING:
    from collections.abc import Iterable


def count_words(blocks: Iterable[str], threads: int | None = None) -> tuple[list[str], list[int]]:
    """All whitespace-separated words, the most frequent first, ties by code points; and how often each occurs.

    Memory grows with the number of different words, not with the text.

    Args:
        blocks: Whole lines, the last without its end, about 1 MB of them.
        threads: By default, one for each core that this process may use, a few at most: each has a table of its own.
    """
    counters = [WordCounter() for _ in range(threads or min(MOST_THREADS, available_cores()))]
    under_way: dict[int, Future[None]] = {}
    with ThreadPoolExecutor(len(counters)) as pool:
        for number, block in enumerate(blocks):
            turn = number % len(counters)
            if turn in under_way:
                under_way[turn].result()  # a block is counted, the next one waits: no more are held
            under_way[turn] = pool.submit(counters[turn].add, block + "\n")
        for one in under_way.values():
            one.result()
    for other in counters[1:]:
        counters[0].merge(other)
    return counters[0].sorted()
