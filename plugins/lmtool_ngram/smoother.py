"""Counts to the tables of a model, order after order, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_ngram.counting import word_type
from lmtool_ngram.discounts import counts_of_counts
from lmtool_ngram.smoothing import Block
from lmtool_ngram.spool import Spool
from lmtool_ngram.suffixes import gather

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmtool_ngram.smoothing import SmoothingMethod
    from lmtool_ngram.suffixes import Linked
    from lmtool_ngram.threads import Workers

AT_ONCE = 1 << 17
"""N-grams that a thread smooths at once."""


class Tables:
    """The arrays of a model that is being written, as `lmtool_ngram.trie.Level` has them."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self._folder, self._word_type = folder, word_type(vocab_size)
        self._spools: dict[str, Spool] = {}

    def open(self, name: str, n: int) -> Spool:
        """An array of order n, to be appended to."""
        types = {"words": self._word_type, "starts": np.uint32}
        spool = Spool(self._folder / f"{name}-{n}.npy", types.get(name, np.float32))
        self._spools[spool.file.name] = spool
        return spool

    def finish(self) -> dict[str, dict[str, Any]]:
        """Close all, and say what they are, by their files' names."""
        for spool in self._spools.values():
            spool.close()
        return {name: {"dtype": spool.dtype.name, "length": len(spool)} for name, spool in self._spools.items()}


@dataclass(frozen=True)
class _Piece:
    """Contexts that follow each other, and where all n-grams that continue them begin."""

    children: np.ndarray
    """uint32 [C], how many n-grams continue each."""
    first_context: int
    first_ngram: int


@dataclass(frozen=True)
class _Smoothed:
    """What becomes of a piece: G n-grams, C contexts."""

    probs: np.ndarray
    """float32 [G]."""
    words: np.ndarray
    """[kept G]."""
    log_probs: np.ndarray
    """float32 [kept G], nats."""
    children: np.ndarray
    """uint32 [kept C], how many kept n-grams continue each."""
    log_backoffs: np.ndarray
    """float32 [kept C], nats."""


class Smoother:
    """Smooths the orders of one text, the lowest first.

    Args:
        method: How.
        linked: Order 1 first.
        tables: Where kept n-grams are written.
        thresholds: For each order the count up to which n-grams are not kept.
        scratch: For files that are removed with it.
        memory: Bytes that what is looked up at random may take.
        workers: Threads.
    """

    def __init__(
        self,
        method: SmoothingMethod,
        linked: Sequence[Linked],
        tables: Tables,
        thresholds: Sequence[int],
        scratch: Path,
        *,
        memory: int,
        workers: Workers,
    ) -> None:
        self._method, self._linked, self._tables, self._thresholds = method, linked, tables, thresholds
        self._scratch, self._memory, self._workers = scratch, memory, workers
        self._probs: Spool | None = None

    def smooth(self, n: int, vocab_size: int, correction: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        """Write the tables of order n, and the back-offs of the order below.

        Args:
            n: 1, then 2, …
            vocab_size: V.
            correction: One n-gram that is taken out of the first count of counts and put into the second.

        Returns:
            The parameters of the order.
        """
        linked = self._linked[n - 1]
        parameters = self._method.parameters(self._counts_of_counts(n, correction))
        if n == 1:
            self._smooth_unigrams(vocab_size, parameters)
            return parameters
        assert self._probs is not None
        assert linked.suffixes is not None
        file = self._scratch / f"lower-{n}"
        lower = gather(self._probs, linked.suffixes, file, memory=self._memory, workers=self._workers)
        self._probs.remove()
        self._smooth_order(n, lower, parameters)
        lower.remove()
        return parameters

    def _counts_of_counts(self, n: int, correction: tuple[int, int]) -> np.ndarray:
        found = counts_of_counts(np.zeros(0, dtype=np.int64), correction)
        for _, piece in self._linked[n - 1].adjusted.pieces():
            found += counts_of_counts(piece)
        return found

    def _smooth_unigrams(self, vocab_size: int, parameters: dict[str, Any]) -> None:
        counts = self._linked[0].adjusted.read(0, vocab_size).astype(np.int64)
        every = np.ones(vocab_size, dtype=bool)
        block = Block(counts, every, np.full(vocab_size, 1 / vocab_size), np.zeros(1, dtype=np.int64))
        probs, _ = self._method.smooth(block, parameters)
        self._probs = Spool(self._scratch / "probs-1", np.float32)
        self._probs.append(probs)
        self._tables.open("words", 1).append(np.arange(vocab_size))
        self._tables.open("starts", 1).append(np.array([0, vocab_size]))
        self._tables.open("log_probs", 1).append(np.log(probs))
        if len(self._linked) == 1:
            self._tables.open("log_backoffs", 1)

    def _smooth_order(self, n: int, lower: Spool, parameters: dict[str, Any]) -> None:
        names = ("words", "starts", "log_probs")
        words, starts, log_probs = (self._tables.open(name, n) for name in names)
        log_backoffs = self._tables.open("log_backoffs", n - 1)
        self._probs = Spool(self._scratch / f"probs-{n}", np.float32)
        is_highest = n == len(self._linked)
        starts.append(np.zeros(1))
        end = 0

        def smooth(piece: _Piece) -> _Smoothed:
            return self._smooth_piece(n, piece, lower, parameters)

        for done in self._workers.map(smooth, self._pieces(n)):
            if not is_highest:
                self._probs.append(done.probs)
            words.append(done.words)
            log_probs.append(done.log_probs)
            log_backoffs.append(done.log_backoffs)
            ends = np.cumsum(done.children, dtype=np.int64) + end
            starts.append(ends)
            end = int(ends[-1]) if len(ends) else end
        if is_highest:
            self._tables.open("log_backoffs", n)
            self._probs.remove()

    def _pieces(self, n: int) -> Iterator[_Piece]:
        """All contexts of order n; as many at once as have `AT_ONCE` n-grams, at least one."""
        start = 0
        for first, children in self._linked[n - 2].counts.children.pieces():
            ends = np.cumsum(children, dtype=np.int64)
            low = 0
            while low < len(children):
                before = int(ends[low - 1]) if low else 0
                high = max(low + 1, int(np.searchsorted(ends, before + AT_ONCE, side="right")))
                yield _Piece(children[low:high], first + low, start + before)
                low = high
            start += int(ends[-1])

    def _smooth_piece(self, n: int, piece: _Piece, lower: Spool, parameters: dict[str, Any]) -> _Smoothed:
        linked = self._linked[n - 1]
        start, stop = piece.first_ngram, piece.first_ngram + int(piece.children.sum(dtype=np.int64))
        kept = self._is_kept(n, start, stop)
        continued = piece.children > 0
        first = np.cumsum(piece.children, dtype=np.int64) - piece.children
        counts = linked.adjusted.read(start, stop).astype(np.int64)
        block = Block(counts, kept, lower.read(start, stop).astype(np.float64), first[continued])
        backoffs = np.ones(len(piece.children))
        probs = np.zeros(0)
        if stop > start:
            probs, backoffs[continued] = self._method.smooth(block, parameters)
        words = linked.counts.words.read(start, stop)
        children = piece.children
        if self._thresholds[n - 1]:
            words = words[kept]
            children = np.zeros_like(piece.children)
            children[continued] = np.add.reduceat(kept, block.first, dtype=np.uint32) if stop > start else 0
            kept_probs = probs[kept]
        else:
            kept_probs = probs
        contexts = self._is_kept(n - 1, piece.first_context, piece.first_context + len(children))
        return _Smoothed(
            probs.astype(np.float32),
            words,
            _log32(kept_probs),
            children[contexts],
            _log32(backoffs[contexts]),
        )

    def _is_kept(self, n: int, start: int, stop: int) -> np.ndarray:
        """bool: whether n-grams occur often enough. What begins or ends a kept one occurs as often, and is kept."""
        threshold = self._thresholds[n - 1] if n > 1 else 0
        if not threshold:
            return np.ones(stop - start, dtype=bool)
        return np.asarray(self._linked[n - 1].counts.counts.read(start, stop) > threshold)


def _log32(values: np.ndarray) -> np.ndarray:
    """Nats, computed in float64 and rounded once."""
    logs: np.ndarray = np.log(values).astype(np.float32)
    return logs


__all__ = ["Smoother", "Tables"]
