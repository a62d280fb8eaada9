"""The tables of a back-off n-gram model: a trie of sorted arrays.

The n-grams of order n are sorted by their words. `words` holds the last word of each; those that continue the n-1-gram
in place i lie in `starts[i]:starts[i + 1]`, their words ascending. Any array may be memory-mapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmtool_ngram.kneser_ney import Estimates


@dataclass(frozen=True)
class Level:
    """The n-grams of one order; M of them. At order 1 these are all V words, each in the place of its id."""

    words: np.ndarray
    """uint16 or int32 [M]."""
    starts: np.ndarray
    """uint32 or int64 [M of the order below + 1]; [0, V] at order 1."""
    log_probs: np.ndarray
    """float32 [M], nats: the last word's, given the words before it."""
    log_backoffs: np.ndarray
    """float32 [M], nats: what the order below is weighted with where a longer n-gram is missing; [0] if highest."""

    def __len__(self) -> int:
        return len(self.words)

    def find(self, parents: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Places of the n-grams with these first n-1 words and last word; -1 where there is none.

        A binary search among the continuations of each parent; each pass halves what is left of all queries at once.

        Args:
            parents: int64 [Q], places in the order below.
            targets: int64 [Q], word ids.
        """
        if not len(self):
            return np.full(len(parents), -1)
        low = self.starts[parents].astype(np.int64)
        size = self.starts[parents + 1] - low
        found = np.where(size > 0, low, -1)
        active = np.flatnonzero(size > 1)
        low, size, wanted = low[active], size[active], targets[active]
        while len(active):
            # The word, if it is there, lies in [low, low + size).
            half = size >> 1
            low += half * (self.words[low + half] <= wanted)
            size -= half
            if (unfinished := size > 1).mean() < 0.7:
                found[active] = low
                active, low, size, wanted = (x[unfinished] for x in (active, low, size, wanted))
        found[self.words[found] != targets] = -1
        return found


def pack(estimates: Iterable[Estimates], vocab_size: int) -> Iterator[Level]:
    """Smoothed probabilities as tables, order by order; each order's back-offs come with the order above it."""
    word_type = np.uint16 if vocab_size <= 1 << 16 else np.int32
    below: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    for order in estimates:
        if below is not None:
            yield Level(*below, _log32(order.context_backoffs))
        starts = _starts(order.parents, len(order.context_backoffs))
        below = order.words.astype(word_type, copy=False), starts, _log32(order.probs)
        del order  # its arrays would live on while the next order is estimated
    if below is not None:
        yield Level(*below, np.zeros(0, dtype=np.float32))


def _starts(parents: np.ndarray, num_parents: int) -> np.ndarray:
    """Where the continuations of each parent begin, and the end of the last, from the ascending parents."""
    starts = np.zeros(num_parents + 1, dtype=np.int64 if len(parents) >= 1 << 32 else np.uint32)
    np.cumsum(np.bincount(parents, minlength=num_parents), out=starts[1:])
    return starts


def _log32(values: np.ndarray) -> np.ndarray:
    logs = np.empty(len(values), dtype=np.float32)
    np.log(values, out=logs, casting="same_kind")  # in float64, rounded once
    return logs
