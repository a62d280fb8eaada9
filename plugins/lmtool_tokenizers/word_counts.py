"""Occurrences of the words of a text, counted while the next of it is read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lmtool_tokenizers.word_table import WordCounter

if TYPE_CHECKING:
    from collections.abc import Iterable


def count_words(blocks: Iterable[str]) -> tuple[list[str], list[int]]:
    """All whitespace-separated words, the most frequent first, ties by code points; and how often each occurs.

    Memory grows with the number of different words, not with the text.

    Args:
        blocks: Whole lines, the last without its end, about 1 MB of them.
    """
    counter = WordCounter()
    with ThreadPoolExecutor(1) as thread:
        counted = thread.submit(counter.add, "\n")
        for block in blocks:
            counted.result()  # one block is counted, the next one waits: no more are held
            counted = thread.submit(counter.add, block + "\n")
        counted.result()
    return counter.sorted()
