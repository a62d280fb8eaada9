"""How counts become probabilities, one way each; what they share.

Every way is interpolated or backs off, and leaves a table of the same form: for a context c, a word w and c' = c
without its first word,

    p(w | c) = probs[cw]            if the n-gram cw is kept
    p(w | c) = backoffs[c] p(w | c')   otherwise

In the formulas below a(cw) is the count in the block, a(c) the sum of a(cw) over all w, pruned ones included. What is
pruned leaves its whole count to the back-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lmtool_ngram.estimation import discounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool_ngram.config import NgramConfig


@dataclass(frozen=True)
class Block:
    """Some contexts of one order, with all n-grams that continue them: G n-grams, C contexts."""

    counts: np.ndarray
    """int64 [G], at least 1 (at order 1 also 0): how often each n-gram occurs; if the way `uses_continuations` and the
    order is not the highest, how many different words were seen before it (at a line's start: how often it occurs)."""
    kept: np.ndarray
    """bool [G]: False for what is pruned, whose probability nobody asks for."""
    lower: np.ndarray
    """float64 [G]: p(w | c'); anything for what is pruned. At order 1 it is 1 / V."""
    first: np.ndarray
    """int64 [C]: where each context's n-grams begin. At order 1 there is one context, and G = V."""

    def sums(self, values: np.ndarray) -> np.ndarray:
        """float64 [C]: the sum of values [G] over each context."""
        total: np.ndarray = np.add.reduceat(values, self.first, dtype=np.float64)
        return total

    def spread(self, values: np.ndarray) -> np.ndarray:
        """[G]: the value of each n-gram's context, of values [C]."""
        return np.repeat(values, np.diff(self.first, append=len(self.counts)))


class SmoothingMethod(Protocol):
    """A way of smoothing. Its instances hold choices, no counts."""

    @property
    def uses_continuations(self) -> bool:
        """Whether orders below the highest count the different words before an n-gram instead of its occurrences."""

    def parameters(self, counts_of_counts: np.ndarray) -> dict[str, Any]:
        """What is estimated once an order, as JSON can hold it.

        Args:
            counts_of_counts: int64 [5]: how many n-grams of this order have count 0 (never asked for), 1, 2, 3, 4.

        Returns:
            Ways that discount give `discounts` (three, for counts 1, 2, and 3 and more) and `is_fallback`: whether the
            counts did not determine them.
        """
        ...

    def smooth(self, block: Block, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """`probs` float64 [G] and `backoffs` float64 [C]: together each context's probabilities sum to one over V.

        No kept n-gram has probability zero, no context back-off zero; where a context saw all of V, its back-off, which
        nobody asks for, is a number like any other.
        """
        ...


def make_smoothing(config: NgramConfig, vocab_size: int) -> SmoothingMethod:
    """The way that the settings name.

    Args:
        config: `smoothing` and `add_k` are read.
        vocab_size: V.
    """
    match config.smoothing:
        case "modified-kneser-ney":
            return Discounting(True, discounts.modified_kneser_ney, discounts.FALLBACK)
        case "kneser-ney":
            return Discounting(True, discounts.kneser_ney, discounts.FALLBACK_SINGLE)
        case "absolute":
            return Discounting(False, discounts.kneser_ney, discounts.FALLBACK_SINGLE)
        case "witten-bell":
            return WittenBell()
        case "add-k":
            return AddK(config.add_k, vocab_size)
        case "stupid-backoff":
            return StupidBackoff()


@dataclass(frozen=True)
class Discounting:
    """Takes a discount from each count, and interpolates: modified and plain Kneser-Ney, absolute discounting.

        p(w | c) = (a(cw) - D(a(cw))) / a(c) + b(c) p(w | c')        b(c) = sum of D(a(cw)) over w / a(c)

    References:
        Chen & Goodman, "An empirical study of smoothing techniques for language modeling", 1998.
        Heafield et al., "Scalable modified Kneser-Ney language model estimation", 2013.
    """

    uses_continuations: bool
    closed_form: Callable[[np.ndarray], discounts.Discounts | None]
    fallback: discounts.Discounts

    def parameters(self, counts_of_counts: np.ndarray) -> dict[str, Any]:
        found = self.closed_form(counts_of_counts)
        return {"discounts": list(found or self.fallback), "is_fallback": found is None}

    def smooth(self, block: Block, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        taken = discounts.discount(block.counts, parameters["discounts"])
        return _interpolate(block, block.counts - taken, block.sums(block.counts))


@dataclass(frozen=True)
class WittenBell:
    """Backs off as often as something new was seen in the context: T(c) different words in a(c) occurrences.

        p(w | c) = (a(cw) + T(c) p(w | c')) / (a(c) + T(c))

    References: Witten & Bell, "The zero-frequency problem", 1991, method C; Chen & Goodman 1998, section 2.6.
    """

    uses_continuations = False

    def parameters(self, counts_of_counts: np.ndarray) -> dict[str, Any]:
        return {}

    def smooth(self, block: Block, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        return _interpolate(block, block.counts, block.sums(block.counts) + block.sums(block.counts > 0))


@dataclass(frozen=True)
class AddK:
    """Adds k to each count; backs off, so that unseen words share their k's in proportion to the order below.

        p(w | c) = (a(cw) + k) / (a(c) + k V)                     if cw was seen
        p(w | c) = b(c) p(w | c')                                 otherwise; b(c) makes the sum one

    References: Lidstone 1920; as SRILM's `-addsmooth`.
    """

    k: float
    vocab_size: int

    uses_continuations = False

    def parameters(self, counts_of_counts: np.ndarray) -> dict[str, Any]:
        return {}

    def smooth(self, block: Block, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        totals = block.sums(block.counts) + self.k * self.vocab_size
        probs = (block.counts + self.k) / block.spread(totals)
        # Exactly zero where all of V is kept, which one minus the sum of probabilities would not be.
        left = block.sums(np.where(block.kept, 0, block.counts))
        left += self.k * (self.vocab_size - block.sums(block.kept))
        backoffs = np.divide(left / totals, _unkept(block, block.kept), out=np.ones(len(left)), where=left > 0)
        return np.minimum(probs, 1.0), backoffs


@dataclass(frozen=True)
class StupidBackoff:
    """Relative counts, and 0.4 times the order below for unseen words; divided by their sum in each context.

        p(w | c) = a(cw) / a(c) / Z(c)                            if cw was seen
        p(w | c) = 0.4 p(w | c') / Z(c)                           otherwise; Z(c) makes the sum one

    The order below is normalised already, which the scores of the paper are not.

    References: Brants et al., "Large language models in machine translation", 2007.
    """

    weight: float = 0.4

    uses_continuations = False

    def parameters(self, counts_of_counts: np.ndarray) -> dict[str, Any]:
        return {}

    def smooth(self, block: Block, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        seen = block.kept & (block.counts > 0)
        totals, unseen = np.maximum(block.sums(block.counts), 1), _unkept(block, seen)
        pruned = block.sums(np.where(block.kept, 0, block.counts)) / totals
        sums = block.sums(np.where(block.kept, block.counts, 0)) / totals + pruned + self.weight * unseen
        backoffs = (self.weight + pruned / unseen) / sums
        probs = np.where(seen, block.counts / block.spread(totals * sums), block.spread(backoffs) * block.lower)
        return np.minimum(probs, 1.0), backoffs


def _interpolate(block: Block, left: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What kept n-grams have `left` [G] of their context's total [C]; the rest is shared as the order below has it."""
    rest = totals - block.sums(np.where(block.kept, left, 0))
    backoffs = np.divide(rest, totals, out=np.ones(len(totals)), where=totals > 0)
    probs = left / block.spread(np.maximum(totals, 1)) + block.spread(backoffs) * block.lower
    return np.minimum(probs, 1.0), backoffs


def _unkept(block: Block, kept: np.ndarray) -> np.ndarray:
    """float64 [C]: the probability in the order below of all words that a context does not keep; never quite zero."""
    rest: np.ndarray = np.maximum(1 - block.sums(np.where(kept, block.lower, 0)), np.finfo(np.float64).eps)
    return rest
