"""A classifier and labelled documents to predictions, and those to the evaluators' numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.api import Classifier, ClassPredictions, Evaluator, Metric
from lmtool.errors import DataError
from lmtool.evaluation import DamagedModelError, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool.data.dataset import Split

AT_ONCE = 1024
"""Documents that a classifier is given at once: memory is bounded by their number, not by that of all."""
SURE = float(np.finfo(np.float32).tiny)
"""Nats below certainty: float32, in which networks say probabilities, has nothing between it and zero."""


@dataclass(frozen=True)
class Outcomes:
    """True and predicted classes of documents: what comparisons need, without the C probabilities of each."""

    targets: np.ndarray
    """See `lmtool.api.ClassPredictions`."""
    predicted: np.ndarray
    """Like `targets`."""
    labels: tuple[str, ...]

    @property
    def multi_label(self) -> bool:
        return self.targets.ndim == 2


@dataclass(frozen=True)
class ClassEvaluation:
    """What came of evaluating one classifier on some documents."""

    metrics: dict[str, Metric]
    details: dict[str, Any]
    """What evaluators say besides numbers, by the evaluator's own names."""
    outcomes: Outcomes
    """Of all documents, in order."""
    seconds: float


def evaluate_classes(
    model: Classifier,
    split: Split,
    evaluators: list[Evaluator],
    *,
    progress: Callable[[float], None] = lambda fraction: None,
) -> ClassEvaluation:
    """Every evaluator's numbers.

    Args:
        model: Its classes are the split's.
        split: Of labelled documents.
        evaluators: That take classes.
        progress: Called with the fraction of the work that is done, 0 to 1.

    Raises:
        DataError: if there are no documents, or the model gives something that no probability has.
        ConfigError: if two evaluators give the same metric.
    """
    start = time.perf_counter()
    states = [evaluator.init() for evaluator in evaluators]
    targets, predicted = [], []
    for piece, fraction in class_predictions(model, split):
        states = [one.update(state, piece) for one, state in zip(evaluators, states, strict=True)]
        targets.append(piece.targets)
        predicted.append(piece.predicted)
        progress(fraction)
    metrics: dict[str, Metric] = {}
    details: dict[str, Any] = {}
    for evaluator, state in zip(evaluators, states, strict=True):
        merge(metrics, evaluator.compute(state))
        if hasattr(evaluator, "details"):
            details |= evaluator.details(state)
    outcomes = Outcomes(np.concatenate(targets), np.concatenate(predicted), tuple(model.labels))
    return ClassEvaluation(metrics, details, outcomes, time.perf_counter() - start)


def class_predictions(model: Classifier, split: Split) -> Iterator[tuple[ClassPredictions, float]]:
    """Predictions for every document once, in order, and the fraction of the work done.

    Raises:
        DataError: if there are no documents.
        DamagedModelError: if the model gives something that is no log-probability.
    """
    if not split.num_documents:
        raise DataError("there is no document to evaluate on")
    targets = split.label_matrix if model.multi_label else split.label_ids
    documents = split.documents()
    done = 0
    while batch := list(islice(documents, AT_ONCE)):
        log_probs = checked(model.log_probs(batch))
        yield ClassPredictions(log_probs, targets[done : done + len(batch)], model.labels), done / len(targets)
        done += len(batch)


def checked(log_probs: np.ndarray) -> np.ndarray:
    """As float64. Raises DamagedModelError if something in them is no log-probability, say not a number."""
    log_probs = np.asarray(log_probs, np.float64)
    if not (log_probs < 1e-6).all():
        wrong = log_probs[~(log_probs < 1e-6)][0]
        raise DamagedModelError(f"the model gives a class the log-probability {wrong:g}: its parameters are damaged")
    return log_probs


def nats(predictions: ClassPredictions) -> np.ndarray:
    """Negative log-likelihood of each document's class, float64 [D]; where it may have several labels, of all of them:
    the sum of each label's binary cross-entropy. Infinite where something true was held to be impossible."""
    outcomes = 0.0 - outcome_log_probs(predictions)
    return outcomes.reshape(predictions.targets.shape).sum(axis=1) if predictions.multi_label else outcomes


def outcome_log_probs(predictions: ClassPredictions) -> np.ndarray:
    """Log-probability of what is so: of each document's class, float64 [D]; where it may have several labels, of
    whether it has each of them, [D · C]."""
    if not predictions.multi_label:
        chosen = np.take_along_axis(predictions.log_probs, predictions.targets[:, None], axis=1)
        return np.asarray(chosen[:, 0])
    absent = np.log(-np.expm1(np.minimum(predictions.log_probs, -SURE)))
    return np.asarray(np.where(predictions.targets, predictions.log_probs, absent).reshape(-1))


def is_right(predictions: ClassPredictions | Outcomes) -> np.ndarray:
    """Whether the most likely class is the true one, bool [D]; all of them, where there may be several."""
    same = predictions.predicted == predictions.targets
    return np.asarray(same.all(axis=1) if predictions.multi_label else same)


__all__ = [
    "ClassEvaluation",
    "Outcomes",
    "checked",
    "class_predictions",
    "evaluate_classes",
    "is_right",
    "nats",
    "outcome_log_probs",
]
