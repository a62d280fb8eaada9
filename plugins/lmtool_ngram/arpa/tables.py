"""The n-grams of an ARPA file as the tables of `lmtool_ngram.tables.trie`.

An n-gram is looked up by its words from the first to the last, so that the n-grams it begins with must be there, and
looking up may stop where what it ends with is missing. Files from tools that prune each n-gram for itself lack some of
both: they are put in with the probability that backing off gives them, which changes no probability. (KenLM does so for
what an n-gram ends with, and refuses a file that lacks what it begins with.)

Where n-grams had to be left out because the vocabulary lacks their words, the back-offs of their contexts are computed
anew from what is left of the distribution: b(c) = (1 - sum of p(w | c)) / (1 - sum of p(w | c')), where w are the words
that still follow c, and c' is c without its first word. Where all words follow c, their probabilities are scaled.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import compiled
from lmtool_ngram.tables.trie import Level

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

INSERTED = np.nan
"""Stands for a log-probability that backing off gives."""
_ALL = 1 - 1e-7
"""A mass from which on nothing is left but rounding."""


@dataclass
class Order:
    """The n-grams of one order, in any order; M of them."""

    ids: NDArray[np.int32]
    """[M, n], the start of a line as `eos_id`."""
    log_probs: NDArray[np.float64]
    """[M], nats."""
    log_backoffs: NDArray[np.float64]
    """[M], nats."""
    shortened: NDArray[np.int32]
    """[K, n - 1], contexts that were followed by something that had to be left out."""
    first_line: int
    """Of the file's n-grams of this order."""
    rows: NDArray[np.int64] | None = None
    """[M], which of these each one is; None if nothing was left out."""

    def line(self, row: int) -> int:
        """Where in the file an n-gram stands."""
        return self.first_line + (row if self.rows is None else int(self.rows[row]))


@dataclass
class Table:
    """The n-grams of one order, sorted by their words: an unfinished `Level`."""

    words: NDArray[np.int32]
    starts: NDArray[np.int64]
    log_probs: NDArray[np.float64]
    log_backoffs: NDArray[np.float64]

    def find(self, parents: np.ndarray, words: np.ndarray) -> np.ndarray:
        """int64: places of the n-grams that continue these n-1-grams by these words; -1 where there is none."""
        found = np.empty(len(parents), dtype=np.int64)
        _find(np.ascontiguousarray(parents), np.ascontiguousarray(words), len(parents), self.words, self.starts, found)
        return found


class DuplicateError(ValueError):
    """An n-gram stands in the file twice, the second time in this `line`."""

    def __init__(self, line: int) -> None:
        super().__init__(f"the n-gram of line {line} is there already")
        self.line = line


def tables(unigrams: Table, orders: Sequence[Order], changed: np.ndarray) -> list[Table]:
    """All orders' tables.

    Args:
        unigrams: The first.
        orders: The others, from 2 on.
        changed: bool [V], words whose probability is not that of the file.

    Raises:
        DuplicateError: if an n-gram is there twice.
    """
    built = _build(unigrams, orders, changed)
    return built if built is not None else _build(unigrams, _closed(orders), changed, closed=True) or []


def _build(
    unigrams: Table, orders: Sequence[Order], changed: np.ndarray, *, closed: bool = False
) -> list[Table] | None:
    """None if an n-gram is missing."""
    built = [unigrams]
    for order in orders:
        with ThreadPoolExecutor(2) as pool:  # compiled loops run side by side
            parents, suffixes = pool.map(partial(_places, built), (order.ids[:, :-1], order.ids[:, 1:]))
        if not closed and ((parents < 0).any() or (suffixes < 0).any()):
            return None
        # Where rows may be equal, those of the file stay in front of those that were put in.
        keys = _keys(parents, order.ids[:, -1], len(unigrams.words))
        ranks = np.argsort(keys, kind="stable" if closed else None)
        ranks = _without_repetitions(order, parents, ranks)
        below = built[-1]
        table = Table(
            order.ids[ranks, -1],
            np.searchsorted(parents[ranks], np.arange(len(below.words) + 1)),
            order.log_probs[ranks],
            order.log_backoffs[ranks],
        )
        shortened = _places(built, order.shortened)
        changed = _renormalise(table, below, suffixes[ranks], shortened, changed)
        built.append(table)
    return built


def _places(tables: Sequence[Table], ids: np.ndarray) -> np.ndarray:
    """int64 [M]: the places of n-grams, int32 [M, n]; -1 where there is none."""
    places = ids[:, 0].astype(np.int64)
    for column in range(1, ids.shape[1]):
        places = tables[column].find(places, ids[:, column])
    return places


def _keys(parents: np.ndarray, words: np.ndarray, vocab_size: int) -> np.ndarray:
    keys: np.ndarray = parents * vocab_size + words
    return keys


def _without_repetitions(order: Order, parents: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Rows in sorted order, each n-gram once: what was put in and is there already is not needed."""
    words = order.ids[ranks, -1]
    sorted_parents = parents[ranks]
    again = np.flatnonzero((words[1:] == words[:-1]) & (sorted_parents[1:] == sorted_parents[:-1])) + 1
    if len(again) and len(real := again[~np.isnan(order.log_probs[ranks[again]])]):
        raise DuplicateError(order.line(int(np.maximum(ranks[real], ranks[real - 1]).min())))
    return np.delete(ranks, again)


def _renormalise(
    table: Table, below: Table, suffixes: np.ndarray, shortened: np.ndarray, changed: np.ndarray
) -> np.ndarray:
    """Give contexts new back-offs where they need them, and inserted n-grams the probability that these give.

    Args:
        table: Of order n.
        below: Of order n - 1.
        suffixes: int64 [M], the place in `below` of each n-gram without its first word.
        shortened: int64 [K], the place in `below` of contexts that lack what they were followed by, or -1.
        changed: bool [M of `below`], n-grams whose probability is not that of the file.

    Returns:
        bool [M], n-grams whose probability is not that of the file.
    """
    lengths = np.diff(table.starts)
    parents = np.repeat(np.arange(len(lengths)), lengths)
    inserted = np.isnan(table.log_probs)
    needs = np.zeros(len(lengths), dtype=bool)
    needs[shortened[shortened >= 0]] = True
    needs[parents[changed[suffixes]]] = True
    if needs.any():
        counted = np.flatnonzero(needs[parents] & ~inserted)
        here = np.bincount(parents[counted], np.exp(table.log_probs[counted]), len(lengths))
        lower = np.bincount(parents[counted], np.exp(below.log_probs[suffixes[counted]]), len(lengths))
        followed_by_all = needs & (lower >= _ALL)  # nothing is left that a back-off could go to
        backed_off = needs & (lower < _ALL) & (here < 1)
        below.log_backoffs[backed_off] = np.log((1 - here[backed_off]) / (1 - lower[backed_off]))
        scaled = counted[followed_by_all[parents[counted]]]
        table.log_probs[scaled] -= np.log(here[parents[scaled]])
    else:
        scaled = np.zeros(0, dtype=np.int64)
    backoffs = below.log_backoffs[parents[inserted]]
    table.log_probs[inserted] = backoffs + below.log_probs[suffixes[inserted]]
    changed = inserted & (needs[parents] | changed[suffixes])
    changed[scaled] = True
    return changed


def _closed(orders: Sequence[Order]) -> list[Order]:
    """With all n-grams that are part of longer ones; those that are there already come twice."""
    closed = []
    for n, order in enumerate(orders, start=2):
        parts = [order.ids]
        for longer in orders[n - 1 :]:
            width = longer.ids.shape[1]
            parts += [longer.ids[:, first : first + n] for first in range(width - n + 1)]
        ids = np.concatenate(parts)
        added = len(ids) - len(order.ids)
        closed.append(
            Order(
                ids,
                np.concatenate([order.log_probs, np.full(added, INSERTED)]),
                np.concatenate([order.log_backoffs, np.zeros(added)]),
                order.shortened,
                order.first_line,
                order.rows,
            )
        )
    return closed


def as_level(table: Table, vocab_size: int, *, highest: bool) -> Level:
    """In the types of a model that was counted here."""
    return Level(
        table.words.astype(np.uint16 if vocab_size <= 1 << 16 else np.int32),
        table.starts.astype(np.int64 if len(table.words) >= 1 << 32 else np.uint32),
        table.log_probs.astype(np.float32),
        table.log_backoffs[: 0 if highest else None].astype(np.float32),
        closed=True,
    )


@compiled("int64[:], int32[:], int64, int32[:], int64[:], int64[:]")
def _find(parents: Any, targets: Any, count: int, words: Any, starts: Any, found: Any) -> None:
    """A binary search among what continues each parent."""
    for i in range(count):
        found[i] = -1
        parent = parents[i]
        if parent < 0:
            continue
        low, high, target = starts[parent], starts[parent + 1], targets[i]
        while high - low > 1:
            middle = (low + high) >> 1
            if words[middle] <= target:
                low = middle
            else:
                high = middle
        if high > low and words[low] == target:
            found[i] = low


__all__ = ["DuplicateError", "Order", "Table", "as_level", "tables"]
