"""Looking up a back-off n-gram model for whole batches.

For each position the places of the n-grams that end there are found order by order: the n-gram in place `i` is a
continuation of the n-1-gram that ends one position before. Probabilities follow from the places (Katz's recursion):

    log p_n(w | c) = log_probs[cw]  if cw was seen,  else log_backoffs[c] + log p_{n-1}(w | c without its first word)

where a context that was never seen has log_backoffs 0. The end of a line is continued by nothing, so no context
reaches across it.

Nearly all time goes into waiting for memory, so positions are taken in blocks, each step for the whole block: its reads
do not depend on each other, and run at once. Where a context has many continuations the index tells the place at one
read (`lmtool_ngram.tables.index`); a few are searched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_ngram.tables import lookup_kernels
from lmtool_ngram.tables.index import SEARCHED, place_bits
from lmtool_ngram.tables.trie import Coded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_ngram.tables.trie import Level

NOTHING = -1
"""Stands for "no word" in a state."""
BLOCK = 4096
"""Positions that are looked up side by side; what they need stays in the second-level cache."""


class Lookup:
    """Tables that are ready to be looked up. Nothing in it ever changes: threads may share it.

    Args:
        levels: Order 1 first.

    Raises:
        ValueError: if an order has 2^32 n-grams or more.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        self.order, self.vocab_size = len(levels), len(levels[0])
        self._closed = all(level.closed for level in levels[1:])
        above = levels[1:]
        words = _Together([level.words for level in levels], levels[0].words.dtype)
        starts = _Together([_starts(level) for level in levels], np.uint32)
        numbers = [*(level.log_probs for level in above), *(level.log_backoffs for level in above)]
        codes, values = _codes(numbers), _Together([_values(one) for one in numbers], np.float32)
        slots = _Together([level.index for level in above], np.uint32)
        num_slots, bits = [0, *(len(level.index) for level in above)], [place_bits(len(level)) for level in levels]
        ways = [words.ways, starts.ways, *_halves(codes.ways), [0, *slots.ways], num_slots, bits, *_halves(values.ways)]
        ways.append([len(level) for level in levels])
        self._tables = (
            np.array(ways, dtype=np.int64).ravel(),
            words.first,
            starts.first,
            *(np.require(one, np.float32, ["C", "A"]) for one in (levels[0].log_probs, levels[0].log_backoffs)),
            codes.first,
            codes.first,
            values.first,
        )
        self._slots = slots.first
        self._kept = words, starts, codes, values, slots
        kind = words.first.dtype.name, codes.first.dtype.name
        self._match, self._next = lookup_kernels.match(*kind), lookup_kernels.next_probs(*kind)

    def score(self, ids: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probability of each token, and the order of the n-gram that gave it.

        Args:
            ids: int [B, T].
            context: int [B, order-1], the words before, `NOTHING` where there are none.

        Returns:
            float64 [B, T], nats, and int8 [B, T].

        Raises:
            ValueError: if an id is none of the vocabulary, or the context is of another order.
        """
        self._check("ids", ids, lowest=0)
        self._check_context(context)
        batch, width = context.shape
        # One long row, each text behind its context and that behind a gap, which ends what was before.
        rows = np.empty((batch, 1 + width + ids.shape[1]), dtype=np.int32)
        rows[:, 0], rows[:, 1 : 1 + width], rows[:, 1 + width :] = NOTHING, context, ids
        log_probs, matched = np.empty(rows.shape), np.empty(rows.shape, dtype=np.int8)
        block = min(BLOCK, max(rows.size, 1))
        places = np.empty(self.order * (block + 1), dtype=np.int64)
        queues = np.empty(lookup_kernels.QUEUES * block, dtype=np.int64)
        settings = rows.size, self.order, block, self._closed, SEARCHED
        self._match(
            rows.ravel(), *settings, *self._tables, self._slots, places, queues, log_probs.ravel(), matched.ravel()
        )
        return log_probs[:, 1 + width :], matched[:, 1 + width :]

    def next_log_probs(self, context: np.ndarray) -> np.ndarray:
        """float64 [B, V], nats: the distribution of the token after each context, int [B, order-1].

        Raises:
            ValueError: as in `score`.
        """
        self._check_context(context)
        batch, width = context.shape
        out = np.empty((batch, self.vocab_size))
        words = np.ascontiguousarray(context, dtype=np.int32).ravel()
        places, backoffs = np.empty(self.order, dtype=np.int64), np.empty(self.order)
        sizes = batch, width, self.vocab_size, self.order
        self._next(words, *sizes, *self._tables, places, backoffs, out.ravel())
        return out

    def _check_context(self, context: np.ndarray) -> None:
        if context.shape[1] != self.order - 1:
            raise ValueError(f"`context` must have {self.order - 1} words, got {context.shape[1]}")
        self._check("context", context, lowest=NOTHING)

    def _check(self, name: str, ids: np.ndarray, *, lowest: int) -> None:
        if ids.size and (int(ids.min()) < lowest or int(ids.max()) >= self.vocab_size):
            asked = f"at least {lowest} and below {self.vocab_size}"
            raise ValueError(f"`{name}` must be {asked}, got {ids.min()} to {ids.max()}")


class _Together:
    """Arrays of one type, wherever they lie: `first`, and how many elements behind its beginning each begins."""

    def __init__(self, arrays: Sequence[np.ndarray], dtype: Any) -> None:
        # Aligned, too: those of a `.npy` file with a header of odd length are no whole elements away from the others.
        self.arrays = [np.require(one, dtype, ["C", "A"]) for one in arrays]
        self.first = self.arrays[0] if self.arrays else np.zeros(1, dtype=dtype)
        addresses = [one.__array_interface__["data"][0] for one in (self.first, *self.arrays)]
        self.ways = [(one - addresses[0]) // self.first.itemsize for one in addresses[1:]]


def _codes(numbers: Sequence[np.ndarray | Coded]) -> _Together:
    """Probabilities and back-offs as they are stored: as codes, all or none."""
    if not any(isinstance(one, Coded) for one in numbers):
        return _Together([np.asarray(one) for one in numbers], np.float32)
    codes = [one.codes for one in numbers if isinstance(one, Coded)]
    if len(codes) < len(numbers) or len({one.dtype for one in codes}) > 1:
        raise ValueError("of the orders above the first either all have codes of one type, or none has")
    return _Together(codes, codes[0].dtype)


def _values(numbers: np.ndarray | Coded) -> np.ndarray:
    """What codes stand for: a number for each that their type can hold, whatever a damaged file says."""
    if not isinstance(numbers, Coded):
        return np.zeros(0, dtype=np.float32)
    values = np.zeros(1 << 8 * numbers.codes.itemsize, dtype=np.float32)
    values[: len(numbers.values)] = numbers.values
    return values


def _halves(ways: list[int]) -> list[list[int]]:
    """Of probabilities and of back-offs, each for all orders; order 1, which is never coded, has none."""
    half = len(ways) // 2
    return [[0, *ways[:half]], [0, *ways[half:]]]


def _starts(level: Level) -> np.ndarray:
    if level.starts.dtype != np.uint32 and len(level) >= 1 << 32:
        raise ValueError(f"an order has {len(level):,} n-grams; fewer than 2^32 can be looked up")
    return level.starts.astype(np.uint32, copy=False)


__all__ = ["BLOCK", "NOTHING", "Lookup"]
