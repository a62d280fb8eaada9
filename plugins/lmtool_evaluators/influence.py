"""How much each document moves an area under a curve: what its standard error follows from.

An area is a function of the distribution of documents. Its influence function says how it changes when a little more of
the mass lies on one document; the standard error is that of the mean of the influences (the infinitesimal jackknife).

References:
    DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
    curves", 1988, whose structural components are the influences of the area under the ROC curve; Efron, "Nonparametric
    standard errors and confidence intervals", 1981.
"""

from __future__ import annotations

import math

import numpy as np


def stderr_of_mean(influences: np.ndarray) -> float | None:
    """None for fewer than two documents."""
    n = len(influences)
    return math.sqrt(float(influences.var(ddof=1)) / n) if n > 1 else None


def midranks(values: np.ndarray) -> np.ndarray:
    """The rank of each, from 1 up; equal ones share the mean of their ranks. Of float [...], in its shape.

    >>> midranks(np.array([0.5, 0.1, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(ranks[which.reshape(values.shape)])


def roc_auc_influence(true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """float64 [D], in the mean zero.

    Args:
        true: bool [D], at least one True and one False.
        scores: float64 [D].
    """
    n, positives = len(true), int(true.sum())
    ranks = midranks(scores)
    components = np.empty(n)
    # the share of the other kind that lies on the right side of each document, ties by half
    components[true] = (ranks[true] - midranks(scores[true])) / (n - positives)
    components[~true] = 1 - (ranks[~true] - midranks(scores[~true])) / positives
    area = components[true].mean()
    return np.asarray((components - area) * n / np.where(true, positives, n - positives))


def average_precision_influence(true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """float64 [D], in the mean zero.

    With A(s) the documents that score at least s, and prec(s) the share of true ones among them, average precision is
    the mean of prec over the scores of true documents. A document with score t moves it as one of these, by prec(t),
    and by moving prec(s) for each s up to t, by (true - prec(s)) / |A(s)|.

    Args:
        true: bool [D], at least one True.
        scores: float64 [D].
    """
    n, positives = len(true), int(true.sum())
    values, which = np.unique(-scores, return_inverse=True)  # from the highest score to the lowest
    every = np.bincount(which, minlength=len(values))
    hits = np.bincount(which, true, len(values))
    above = np.cumsum(every)
    precision = np.cumsum(hits) / above
    average = float(hits @ precision) / positives

    def from_here_down(terms: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.cumsum((hits * terms)[::-1])[::-1]
        return sums[which]

    moved = true * from_here_down(1 / above) - from_here_down(precision / above)
    return np.asarray(n / positives * (true * (precision[which] - average) + moved))


__all__ = ["average_precision_influence", "midranks", "roc_auc_influence", "stderr_of_mean"]
