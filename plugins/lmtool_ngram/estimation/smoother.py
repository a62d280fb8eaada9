"""Counts to the tables of a model, order after order, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_ngram.estimation.counting import word_type
from lmtool_ngram.estimation.discounts import counts_of_counts
from lmtool_ngram.estimation.smoothing import Block
from lmtool_ngram.estimation.suffixes import gather
from lmtool_ngram.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmtool_ngram.estimation.counting import Families
    from lmtool_ngram.estimation.smoothing import SmoothingMethod
    from lmtool_ngram.estimation.suffixes import Linked
    from lmtool_ngram.estimation.threads import Workers
    from lmtool_ngram.spool import Scratch


class Tables:
    """The arrays of a model that is being written, as `lmtool_ngram.tables.trie.Level` has them."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self._folder, self._word_type = folder, word_type(vocab_size)
        self._spools: dict[str, Spool] = {}

    def open(self, name: str, n: int) -> Spool:
        """An array of order n, to be appended to."""
        types = {"words": self._word_type, "starts": np.uint32}
        spool = Spool(self._folder / f"{name}-{n}.npy", types.get(name, np.float32))
        self._spools[spool.file.name] = spool
        return spool

    def close(self) -> None:
        """Finish all files."""
        for spool in self._spools.values():
            spool.close()

    def described(self) -> dict[str, dict[str, Any]]:
        """What the arrays are, by their files' names."""
        return {name: {"dtype": spool.dtype.name, "length": len(spool)} for name, spool in self._spools.items()}


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
        scratch: For what is needed meanwhile.
        memory: Bytes that what is looked up at random may take.
        workers: Threads.
    """

    def __init__(
        self,
        method: SmoothingMethod,
        linked: Sequence[Linked],
        tables: Tables,
        thresholds: Sequence[int],
        scratch: Scratch,
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
        lower = self._scratch.spool(f"lower-{n}", np.float32)
        gather(self._probs, linked.suffixes, lower, memory=self._memory, workers=self._workers)
        self._probs.discard()
        self._smooth_order(n, lower, parameters)
        lower.discard()
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
        self._probs = self._scratch.spool("probs-1", np.float32)
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
        self._probs = self._scratch.spool(f"probs-{n}", np.float32)
        is_highest = n == len(self._linked)
        starts.append(np.zeros(1))
        end = 0

        def smooth(piece: Families) -> _Smoothed:
            return self._smooth_piece(n, piece, lower, parameters)

        for done in self._workers.map(smooth, self._linked[n - 2].counts.families()):
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
            self._probs.discard()

    def _smooth_piece(self, n: int, piece: Families, lower: Spool, parameters: dict[str, Any]) -> _Smoothed:
        linked = self._linked[n - 1]
        start, stop = piece.children.start, piece.children.stop
        kept = self._is_kept(n, start, stop)
        continued = piece.sizes > 0
        first = (np.cumsum(piece.sizes, dtype=np.int64) - piece.sizes)[continued]
        probs, backoffs, sizes = np.zeros(0), np.ones(len(piece.sizes)), np.zeros_like(piece.sizes)
        if stop > start:
            counts = linked.adjusted.read(start, stop).astype(np.int64)
            block = Block(counts, kept, lower.read(start, stop).astype(np.float64), first)
            probs, backoffs[continued] = self._method.smooth(block, parameters)
            sizes[continued] = np.add.reduceat(kept, first, dtype=np.uint32)
        words = linked.counts.words.read(start, stop)
        contexts = self._is_kept(n - 1, piece.parents.start, piece.parents.stop)
        return _Smoothed(
            probs.astype(np.float32), words[kept], _log32(probs[kept]), sizes[contexts], _log32(backoffs[contexts])
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
