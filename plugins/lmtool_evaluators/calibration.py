"""Whether a classifier's probabilities mean what they say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lmtool.api import Metric
from lmtool_evaluators.influence import midranks, stderr_of_mean
from lmtool_evaluators.means import Mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import ClassPredictions
    from lmtool_evaluators.config import CalibrationConfig


class Judged(NamedTuple):
    """What is kept of documents: K = 1 prediction each, or one a label."""

    confidence: np.ndarray
    """float64 [D, K], the probability that was given to what is said."""
    right: np.ndarray
    """bool [D, K], whether it is so."""


class State(NamedTuple):
    brier: Mean = Mean()
    judged: tuple[Judged, ...] = ()


class Calibration:
    """See `CalibrationConfig`.

    The standard error of a calibration error takes it for a mean over documents, each of which adds to the gap of its
    bin: the signs of the gaps are taken as they are.

    References:
        Guo et al., "On calibration of modern neural networks", 2017; Nixon et al., "Measuring calibration in deep
        learning", 2019; Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """

    takes: Literal["classes"] = "classes"

    def __init__(self, config: CalibrationConfig) -> None:
        self.config = config

    def init(self) -> State:
        return State()

    def update(self, state: State, predictions: ClassPredictions) -> State:
        """What is known, with some more documents."""
        # rounding may leave ln p a little above zero
        probs = np.exp(np.minimum(predictions.log_probs, 0.0))
        if predictions.multi_label:
            brier = np.square(probs - predictions.targets).mean(axis=1)
            return State(state.brier.plus(Mean.of(brier)), (*state.judged, Judged(probs, predictions.targets)))
        documents = np.arange(len(probs))
        # all classes' squares, and what the true one's is less than that
        brier = np.square(probs).sum(axis=1) + 1 - 2 * probs[documents, predictions.targets]
        predicted = predictions.predicted
        judged = Judged(probs[documents, predicted][:, None], (predicted == predictions.targets)[:, None])
        return State(state.brier.plus(Mean.of(brier)), (*state.judged, judged))

    def compute(self, state: State) -> dict[str, Metric]:
        if not state.brier.n:
            return {}
        judged = _joined(state)
        return {
            "ece": _error(judged, self._of_equal_width(judged)),
            "adaptive_ece": _error(judged, self._of_equal_size(judged)),
            "brier": state.brier.metric,
        }

    def details(self, state: State) -> dict[str, Any]:
        """`reliability`: for each bin of equal width that is not empty, its bounds, how many predictions it has, their
        mean confidence, and the share that is right, with its standard error over documents (None for one document)."""
        return {"reliability": list(self._table(_joined(state))) if state.brier.n else []}

    def _table(self, judged: Judged) -> Iterator[dict[str, float | None]]:
        bins = self._of_equal_width(judged)
        for number in np.unique(bins).tolist():
            inside = bins == number
            yield {
                "from": number / self.config.bins,
                "to": (number + 1) / self.config.bins,
                "n": int(inside.sum()),
                "confidence": float(judged.confidence[inside].mean()),
                "accuracy": float(judged.right[inside].mean()),
                "stderr": _stderr_of_share(judged.right, inside),
            }

    def _of_equal_width(self, judged: Judged) -> np.ndarray:
        """The number of each prediction's bin, int [D, K]; the last bin holds both its bounds, the others the lower."""
        return np.minimum((judged.confidence * self.config.bins).astype(np.int64), self.config.bins - 1)

    def _of_equal_size(self, judged: Judged) -> np.ndarray:
        ranks = midranks(judged.confidence) - 0.5
        return np.asarray((ranks * self.config.bins / judged.confidence.size).astype(np.int64))


def _joined(state: State) -> Judged:
    return Judged(*(np.concatenate(arrays) for arrays in zip(*state.judged, strict=True)))


def _stderr_of_share(right: np.ndarray, inside: np.ndarray) -> float | None:
    """Of the share of the predictions in a bin that are right; those of one document are not independent.

    Args:
        right: bool [D, K].
        inside: bool [D, K], those in the bin.
    """
    documents = int(inside.any(axis=1).sum())
    if documents < 2:
        return None
    residuals = np.where(inside, right - right[inside].mean(), 0.0).sum(axis=1)
    spread = float(np.square(residuals).sum()) * documents / (documents - 1)
    return math.sqrt(spread) / int(inside.sum())


def _error(judged: Judged, bins: np.ndarray) -> Metric:
    """Mean over bins, weighted by their predictions, of how far accuracy and confidence lie apart."""
    gaps = judged.right - judged.confidence
    sums = np.bincount(bins.reshape(-1), gaps.reshape(-1))
    documents = (np.sign(sums)[bins] * gaps).mean(axis=1)
    return Metric(float(np.abs(sums).sum() / gaps.size), len(gaps), stderr_of_mean(documents))


__all__ = ["Calibration"]
