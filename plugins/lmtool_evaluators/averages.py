"""Precision, recall and F1 of many texts at once, as scikit-learn defines them for one; 0 where it divides by 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """float64 [..., C] each, for each class."""

    hits: np.ndarray
    """Documents of the class that were predicted to be of it: true positives."""
    predicted: np.ndarray
    support: np.ndarray
    """Documents of the class."""


def scores(counts: Counts) -> dict[str, np.ndarray]:
    """`precision`, `recall` and `f1`, each in the shape of the counts."""
    return {
        "precision": ratio(counts.hits, counts.predicted),
        "recall": ratio(counts.hits, counts.support),
        "f1": ratio(2 * counts.hits, counts.predicted + counts.support),
    }


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Zero where the denominator is."""
    out = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def averages(counts: Counts, *, all_classes: bool) -> dict[str, np.ndarray]:
    """`precision_macro`, `recall_micro`, `f1_weighted` and the like: [...] each.

    Args:
        counts: Of each class.
        all_classes: Whether a class counts that is neither true nor predicted anywhere.
    """
    by_class = scores(counts)
    total = scores(Counts(*(one.sum(axis=-1) for one in counts)))
    seen = np.ones(counts.support.shape) if all_classes else (counts.predicted + counts.support > 0).astype(float)
    weights = {"macro": seen, "weighted": counts.support}
    found = {
        f"{name}_{average}": ratio((values * weight).sum(axis=-1), weight.sum(axis=-1))
        for average, weight in weights.items()
        for name, values in by_class.items()
    }
    return found | {f"{name}_micro": values for name, values in total.items()}


__all__ = ["Counts", "averages", "ratio", "scores"]
