"""Labelled vectors to weights: every classifier is a matrix and an offset for each class in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.svm import LinearSVC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool_linear.config import LinearConfig

Vectors = Any
"""A `scipy.sparse.csr_matrix`, float32 [D, F]."""


class Weights(NamedTuple):
    """A linear classifier: vectors `x` [D, F] have the decisions `x @ matrix.T + offset` [D, C]."""

    matrix: np.ndarray
    """float32 [C, F]."""
    offset: np.ndarray
    """float32 [C]; minus infinity for a class that no document had."""

    def decide(self, x: Vectors) -> np.ndarray:
        """float64 [D, C]."""
        return np.asarray(x @ np.ascontiguousarray(self.matrix.T), np.float64) + self.offset.astype(np.float64)


def fit_classes(config: LinearConfig, x: Vectors, y: np.ndarray, sample_weights: np.ndarray, c: int) -> Weights:
    """For documents of one class each.

    Args:
        config: Chooses the classifier.
        x: float32 [D, F].
        y: int [D], of `c` classes; some may be missing.
        sample_weights: float64 [D].
        c: C.
    """
    present = np.unique(y)
    matrix = np.zeros((c, x.shape[1]), np.float32)
    offset = np.full(c, -np.inf, np.float32)
    if len(present) == 1:
        offset[present] = 0
    elif config.nb_features:
        for one in present:  # each class has features of its own
            matrix[one], offset[one] = _binary(config, x, y == one, sample_weights)
    else:
        matrix[present], offset[present] = _rows(_fitted(config, x, y, sample_weights))
    return Weights(matrix, offset)


def fit_labels(config: LinearConfig, x: Vectors, y: np.ndarray, sample_weights: np.ndarray) -> Weights:
    """For documents with any number of labels, bool [D, C]: each label by itself; weights are float64 [D, C]."""
    rows = [_binary(config, x, has, weights) for has, weights in zip(y.T, sample_weights.T, strict=True)]
    return Weights(np.stack([row for row, _ in rows]), np.array([offset for _, offset in rows], np.float32))


def _binary(config: LinearConfig, x: Vectors, has: np.ndarray, sample_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """One class against the rest: float32 [F] and an offset."""
    if has.all() or not has.any():
        return np.zeros(x.shape[1], np.float32), 1.0 if has.all() else -1.0
    ratios = log_count_ratios(x, has, config.alpha) if config.nb_features else None
    scaled = x if ratios is None else x.multiply(ratios[None]).tocsr()
    matrix, offset = _rows(_fitted(config, scaled, has, sample_weights))
    row = matrix[1] - matrix[0]
    if ratios is not None:
        beta = config.nb_interpolation
        row = ((1 - beta) * np.abs(row).mean() + beta * row) * ratios
    return row.astype(np.float32), float(offset[1] - offset[0])


def log_count_ratios(x: Vectors, has: np.ndarray, alpha: float) -> np.ndarray:
    """How much likelier an n-gram is in documents of a class than in others, as the log of a ratio: float32 [F].

    Each document counts an n-gram once.

    References:
        Wang & Manning, "Baselines and bigrams: simple, good sentiment and topic classification", 2012.
    """
    inside, outside = (alpha + np.asarray((x[rows] > 0).sum(axis=0), np.float64).ravel() for rows in (has, ~has))
    return np.asarray(np.log(inside / inside.sum() / (outside / outside.sum())), np.float32)


def _fitted(config: LinearConfig, x: Vectors, y: np.ndarray, sample_weights: np.ndarray) -> Any:
    return ESTIMATORS[config.classifier](config).fit(x, y, sample_weight=sample_weights)


ESTIMATORS: dict[str, Callable[[LinearConfig], Any]] = {
    "svm": lambda config: LinearSVC(C=config.C, max_iter=config.max_iterations, random_state=config.seed),
    "logistic": lambda config: LogisticRegression(C=config.C, max_iter=config.max_iterations),
    "ridge": lambda config: RidgeClassifier(alpha=1 / config.C, solver="lsqr"),
    "sgd": lambda config: SGDClassifier(
        alpha=1e-3 * config.alpha, max_iter=config.max_iterations, random_state=config.seed
    ),
    "naive-bayes": lambda config: MultinomialNB(alpha=config.alpha),
    "complement-naive-bayes": lambda config: ComplementNB(alpha=config.alpha),
}


def _rows(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [C, F] and offset [C] of at least two classes."""
    if isinstance(estimator, ComplementNB):
        return estimator.feature_log_prob_, np.zeros(len(estimator.classes_))
    if isinstance(estimator, MultinomialNB):
        return estimator.feature_log_prob_, estimator.class_log_prior_
    matrix, offset = estimator.coef_, np.atleast_1d(estimator.intercept_)
    if len(matrix) > 1:
        return matrix, offset
    return np.concatenate([np.zeros_like(matrix), matrix]), np.concatenate([np.zeros_like(offset), offset])


def class_weights(config: LinearConfig, y: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """What each document counts: float64 [D] for int [D]; [D, C] for bool [D, C], where a label's lack counts 1."""
    given = config.class_weights
    weights = np.ones(len(names)) if given == "balanced" else np.array([given.get(name, 1.0) for name in names])
    if y.ndim == 1:
        counts = np.bincount(y, minlength=len(names))
        if given == "balanced":
            weights = len(y) / (len(names) * np.maximum(counts, 1))
        return np.asarray(weights[y])
    if given == "balanced":
        has = np.maximum(y.sum(axis=0), 1)
        return np.asarray(np.where(y, len(y) / (2 * has), len(y) / (2 * np.maximum(len(y) - has, 1))))
    return np.asarray(np.where(y, weights[None], 1.0))


__all__ = ["Vectors", "Weights", "class_weights", "fit_classes", "fit_labels", "log_count_ratios"]
