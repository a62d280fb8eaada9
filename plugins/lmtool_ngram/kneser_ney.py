"""Interpolated modified Kneser-Ney smoothing, order by order from the unigrams up.

For a context c and a word w, with adjusted counts a, discounts D and c' = c without its first word:

    p(w | c) = (a(cw) - D(a(cw))) / a(c) + b(c) p(w | c')        a(c) = sum of a(cw) over w
    b(c)     = sum of D(a(cw)) over w / a(c)                     p(w | nothing) ends in 1 / V

The adjusted count of an n-gram is its count if the order is the highest or it starts a line, else the number of
different words that were seen before it.

References:
    Chen & Goodman, "An empirical study of smoothing techniques for language modeling", 1998.
    Heafield et al., "Scalable modified Kneser-Ney language model estimation", 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmtool_ngram.discounts import FALLBACK, Discounts, counts_of_counts, discount, modified_kneser_ney

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lmtool_ngram.counting import Counts


BLOCK = 1 << 20
"""N-grams that are computed at once."""


@dataclass(frozen=True)
class Estimates:
    """The n-grams of one order, as `Counts` has them, with their probabilities. Arrays of length M."""

    words: np.ndarray
    parents: np.ndarray
    probs: np.ndarray
    """float64, p(last word | the words before it)."""
    context_backoffs: np.ndarray
    """float64 [M of the order below], b(c) of each of its n-grams as a context; 1 where it is none."""
    discounts: Discounts
    is_fallback: bool
    """True if the discounts were undefined and `FALLBACK` took their place."""


def estimate(
    levels: Iterable[Counts], *, vocab_size: int, corrections: Sequence[tuple[int, int]] = ()
) -> Iterator[Estimates]:
    """The smoothed probabilities of order 1, 2, …; no more than two orders' counts are held at once.

    Args:
        levels: From `count_ngrams`.
        vocab_size: V; each word of it has probability 1 / V before anything was counted.
        corrections: From `lmplz_corrections`, or none.
    """
    lower = np.full(1, 1 / vocab_size)
    for n, (level, adjusted) in enumerate(_adjusted(levels)):
        discounts = modified_kneser_ney(counts_of_counts(adjusted, *corrections[n : n + 1]))
        probs, backoffs = _interpolate(level, adjusted, lower, discounts or FALLBACK)
        is_fallback = discounts is None and len(level) > 0
        yield Estimates(level.words, level.parents, probs, backoffs, discounts or FALLBACK, is_fallback)
        lower = probs
        del level, adjusted, probs, backoffs  # they would live on while the next order is counted


def _adjusted(levels: Iterable[Counts]) -> Iterator[tuple[Counts, np.ndarray]]:
    """Each order with its adjusted counts: an order needs the one above it, the highest none."""
    below: Counts | None = None
    for level in levels:
        if below is not None:
            yield below, _continuation_counts(below, level)
        below = level
    if below is not None:
        yield below, below.counts


def _continuation_counts(below: Counts, above: Counts) -> np.ndarray:
    """int: in how many different n+1-grams each n-gram is the suffix; its plain count if it starts a line."""
    adjusted = np.bincount(above.suffixes, minlength=len(below)).astype(below.counts.dtype)
    adjusted[below.line_starts] = below.counts[below.line_starts]
    return adjusted


def _interpolate(
    level: Counts, adjusted: np.ndarray, lower: np.ndarray, discounts: Discounts
) -> tuple[np.ndarray, ...]:
    """Probabilities [M] and back-offs [M of the order below], in blocks, so that only results take memory."""
    totals, backoffs, probs = np.zeros(len(lower)), np.zeros(len(lower)), np.empty(len(level))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(level), BLOCK)]
    for block in blocks:
        parents = level.parents[block]
        contexts = slice(parents[0], parents[-1] + 1)
        totals[contexts] += np.bincount(parents - parents[0], adjusted[block])
        backoffs[contexts] += np.bincount(parents - parents[0], discount(adjusted[block], discounts))
    is_context = totals > 0
    np.divide(backoffs, totals, out=backoffs, where=is_context)
    backoffs[~is_context] = 1.0
    for block in blocks:
        parents, counts = level.parents[block], adjusted[block]
        probs[block] = (counts - discount(counts, discounts)) / totals[parents]
        probs[block] += backoffs[parents] * lower[level.suffixes[block]]
    return probs, backoffs
