"""Occurrences of words, counted by the table of those that were seen before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from lmtool_tokenizers.word_table import Words, WordTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def count_words(batches: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each whitespace-separated word occurs.

    Memory grows with the number of different words, not with the text.

    Args:
        batches: Lines, without line ends, in lists of about 1 MB.
    """
    known: list[str] = ["\n"]
    table, totals = WordTable(known), np.zeros(1, np.int64)
    new: Counter[bytes] = Counter()
    odd: Counter[str] = Counter()
    for lines in batches:
        if any("\0" in line or "\n" in line for line in lines):
            odd.update(" ".join(lines).split())
            continue
        words = Words(lines)
        ids = table.lookup(words)
        totals += np.bincount(ids[ids >= 0], minlength=len(known))
        new.update(map(words.__getitem__, np.flatnonzero(ids < 0).tolist()))
        if len(new) > len(known):
            known += [word.decode() for word in new]
            table, totals = WordTable(known), np.concatenate([totals, list(new.values())])
            new.clear()
    counts = Counter(dict(zip(known[1:], totals[1:].tolist(), strict=True)))
    counts.update({word.decode(): count for word, count in new.items()})
    counts.update(odd)
    return counts
