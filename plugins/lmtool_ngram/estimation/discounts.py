"""Discounts of Kneser-Ney smoothing, from how many n-grams were counted once, twice, three and four times."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

Discounts = tuple[float, float, float]

FALLBACK: Discounts = (0.5, 1.0, 1.5)
"""Used where the closed form is undefined; the same as `lmplz --discount_fallback`."""

FALLBACK_SINGLE: Discounts = (0.75, 0.75, 0.75)
"""Used where the closed form of one discount for all counts is undefined: about what Church & Gale (1991) measured."""


def counts_of_counts(counts: np.ndarray, correction: tuple[int, int] = (0, 0)) -> np.ndarray:
    """int64 [5]: how many n-grams have count 0 (never asked for), 1, 2, 3 and 4.

    Args:
        counts: int [M].
        correction: One n-gram is taken out of the first count and put into the second.
    """
    n = np.bincount(counts[counts < 5], minlength=5)
    for count, step in zip(correction, (-1, 1), strict=True):
        if count < 5:
            n[count] += step
    return n


def modified_kneser_ney(counts_of_counts: np.ndarray) -> Discounts | None:
    """D1, D2 and D3+ from the counts of counts of one order.

    None where the closed form is undefined or not positive: a text so small or so artificial that no n-gram was
    counted once, twice or three times. A discount of zero would leave nothing to unseen words.

    References: Chen & Goodman, "An empirical study of smoothing techniques for language modeling", 1998, equation 26.
    """
    n = counts_of_counts.tolist()
    if not (n[1] and n[2] and n[3]):
        return None
    y = Fraction(n[1], n[1] + 2 * n[2])
    # In fractions, since what is exactly zero must not come out as 1e-16.
    d1, d2, d3 = (k - (k + 1) * y * Fraction(n[k + 1], n[k]) for k in (1, 2, 3))
    return (float(d1), float(d2), float(d3)) if min(d1, d2, d3) > 0 else None


def kneser_ney(counts_of_counts: np.ndarray) -> Discounts | None:
    """One discount for all counts, three times, from the counts of counts of one order.

    None where nothing was counted once, or nothing twice: the discount would be zero, leaving nothing to unseen words,
    or one, taking all from what was seen once.

    References: Ney, Essen & Kneser, "On structuring probabilistic dependences in stochastic language modelling", 1994.
    """
    n = counts_of_counts.tolist()
    if not (n[1] and n[2]):
        return None
    d: float = n[1] / (n[1] + 2 * n[2])
    return (d, d, d)


def discount(counts: np.ndarray, discounts: Discounts) -> np.ndarray:
    """float64, what is taken from each count: nothing from 0, D1 from 1, D2 from 2, D3+ from more."""
    taken: np.ndarray = np.array([0.0, *discounts])[np.minimum(counts, 3)]
    return taken
