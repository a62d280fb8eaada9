"""Areas under the ROC and the precision-recall curves of each class against the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lmtool.api import Metric
from lmtool_evaluators.influence import average_precision_influence, roc_auc_influence, stderr_of_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import ClassPredictions
    from lmtool_evaluators.config import AreaUnderCurveConfig


class Scores(NamedTuple):
    """What is kept of some documents: ln p, float64 [D, C], and whether the class is true, bool [D, C]."""

    log_probs: np.ndarray
    true: np.ndarray


class AreaUnderCurve:
    """See `AreaUnderCurveConfig`. The areas come from scikit-learn, their standard errors from `influence`."""

    takes: Literal["classes"] = "classes"

    def __init__(self, config: AreaUnderCurveConfig) -> None:
        self.config = config

    def init(self) -> tuple[Scores, ...]:
        return ()

    def update(self, state: tuple[Scores, ...], predictions: ClassPredictions) -> tuple[Scores, ...]:
        targets = predictions.targets
        true = targets if predictions.multi_label else targets[:, None] == np.arange(len(predictions.labels))
        # The least number is below all others, as minus infinity is, and scikit-learn takes it.
        return (*state, Scores(np.maximum(predictions.log_probs, np.finfo(np.float64).min), np.asarray(true)))

    def compute(self, state: tuple[Scores, ...]) -> dict[str, Metric]:
        """The areas; none if each class has all documents or none."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        if not state:
            return {}
        log_probs, true = (np.concatenate(arrays) for arrays in zip(*state, strict=True))
        defined = true.any(axis=0) & ~true.all(axis=0)
        if not defined.any():
            return {}
        log_probs, true = log_probs[:, defined], true[:, defined]
        roc = _averages(log_probs, true, roc_auc_score, roc_auc_influence)
        precision = _averages(log_probs, true, average_precision_score, average_precision_influence)
        return {
            **{f"roc_auc_{name}": metric for name, metric in roc.items()},
            **{f"average_precision_{name}": metric for name, metric in precision.items()},
        }


def _averages(
    log_probs: np.ndarray,
    true: np.ndarray,
    area: Callable[[np.ndarray, np.ndarray], float],
    influence: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, Metric]:
    """Means of the classes' areas, plain and weighted by their documents."""
    columns = list(zip(log_probs.T, true.T, strict=True))
    areas = np.array([area(right, scores) for scores, right in columns])
    influences = np.stack([influence(right, scores) for scores, right in columns], axis=1)
    shares = true.mean(axis=0)
    weighted = float(areas @ shares / shares.sum())
    # a document changes the weighted mean by its class's area and by its class's weight
    by_weight = (influences @ shares + true @ (areas - weighted)) / shares.sum()
    n = len(true)
    return {
        "macro": Metric(float(areas.mean()), n, stderr_of_mean(influences.mean(axis=1))),
        "weighted": Metric(weighted, n, stderr_of_mean(by_weight)),
    }


__all__ = ["AreaUnderCurve"]
