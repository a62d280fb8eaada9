"""Made-up predictions of classifiers, and plain definitions of what is said about them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lmtool.api import ClassPredictions

if TYPE_CHECKING:
    from collections.abc import Sequence


def samples() -> list[list[ClassPredictions]]:
    """Documents one by one: of 7 classes, one of which none has; of 2; with any number of 5 labels."""
    return [of_classes(24, 7), of_classes(24, 2, seed=1), of_labels(24, 5)]


def of_classes(num_documents: int, num_classes: int, *, seed: int = 0) -> list[ClassPredictions]:
    """Documents with one class each, one piece a document; none is of the last class if there are more than two."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, num_classes - (num_classes > 2), num_documents)
    logits = rng.normal(0, 1, (num_documents, num_classes)) + 1.5 * (targets[:, None] == np.arange(num_classes))
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return _one_by_one(log_probs, targets, _names(num_classes))


def of_labels(num_documents: int, num_labels: int, *, seed: int = 0) -> list[ClassPredictions]:
    """Documents with any number of labels each, one piece a document."""
    rng = np.random.default_rng(seed)
    targets = rng.random((num_documents, num_labels)) < 0.4
    logits = rng.normal(0, 1, targets.shape) + np.where(targets, 0.7, -0.7)
    return _one_by_one(-np.log1p(np.exp(-logits)), targets, _names(num_labels))


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def _one_by_one(log_probs: np.ndarray, targets: np.ndarray, labels: tuple[str, ...]) -> list[ClassPredictions]:
    rows = [slice(i, i + 1) for i in range(len(targets))]
    return [ClassPredictions(log_probs[row].copy(), targets[row].copy(), labels) for row in rows]


def join(pieces: Sequence[ClassPredictions]) -> ClassPredictions:
    """Several pieces as one."""
    log_probs = np.concatenate([piece.log_probs for piece in pieces])
    return ClassPredictions(log_probs, np.concatenate([piece.targets for piece in pieces]), pieces[0].labels)


def empty() -> list[ClassPredictions]:
    """No documents, that have one class and any number of labels."""
    nothing, labels = np.zeros((0, 3)), _names(3)
    return [ClassPredictions(nothing, targets, labels) for targets in (np.zeros(0, np.int64), nothing.astype(bool))]


def definitions(predictions: ClassPredictions) -> dict[str, tuple[float, int]]:
    """The defined metrics, said as plainly as can be: name to value and n."""
    return _of_labels(predictions) if predictions.multi_label else _of_classes(predictions)


def _of_classes(predictions: ClassPredictions) -> dict[str, tuple[float, int]]:
    rows, targets = predictions.log_probs.tolist(), predictions.targets.tolist()
    n = len(rows)
    guesses = [row.index(max(row)) for row in rows]
    right = sum(guess == target for guess, target in zip(guesses, targets, strict=True))
    brier = sum((math.exp(p) - (c == t)) ** 2 for row, t in zip(rows, targets, strict=True) for c, p in enumerate(row))
    return {
        "accuracy": (right / n, n),
        "f1_micro": (right / n, n),
        "f1_macro": (_mean_f1([{guess} for guess in guesses], [{target} for target in targets], set()), n),
        "log_loss": (-sum(row[target] for row, target in zip(rows, targets, strict=True)) / n, n),
        "brier": (brier / n, n),
    }


def _of_labels(predictions: ClassPredictions) -> dict[str, tuple[float, int]]:
    rows, targets = predictions.log_probs.tolist(), predictions.targets.tolist()
    n, size = predictions.targets.shape
    guesses = [{c for c, p in enumerate(row) if math.exp(p) >= 0.5} for row in rows]
    truths = [{c for c, true in enumerate(row) if true} for row in targets]
    cells = [
        (math.exp(p), t) for row, target in zip(rows, targets, strict=True) for p, t in zip(row, target, strict=True)
    ]
    return {
        "subset_accuracy": (sum(guess == truth for guess, truth in zip(guesses, truths, strict=True)) / n, n),
        "f1_macro": (_mean_f1(guesses, truths, set(range(size))), n),
        "log_loss": (-sum(math.log(p if t else 1 - p) for p, t in cells) / n, n),
        "brier": (sum((p - t) ** 2 for p, t in cells) / len(cells), n),
    }


def _mean_f1(guesses: list[set[int]], truths: list[set[int]], classes: set[int]) -> float:
    """Over these classes and those that are somewhere among guesses or truths."""
    scores = []
    for one in classes.union(*guesses, *truths):
        hits = sum(one in guess and one in truth for guess, truth in zip(guesses, truths, strict=True))
        total = sum(one in guess for guess in guesses) + sum(one in truth for truth in truths)
        scores.append(2 * hits / total if total else 0.0)
    return sum(scores) / len(scores)


__all__ = ["definitions", "empty", "join", "of_classes", "of_labels", "samples"]
