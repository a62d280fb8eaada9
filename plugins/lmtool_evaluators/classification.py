"""Accuracy, precision, recall and F1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.api import Metric
from lmtool_evaluators.averages import Counts, averages, ratio, scores
from lmtool_evaluators.means import stderr
from lmtool_evaluators.outcomes import Outcomes, OverOutcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_evaluators.config import ClassificationConfig

NAMES = ("precision", "recall", "f1")
_BLOCK = 1 << 22
"""Numbers that are drawn at once."""


class Classification(OverOutcomes):
    """See `ClassificationConfig`. The figures come from scikit-learn, the spread over drawn texts from here."""

    def __init__(self, config: ClassificationConfig) -> None:
        self.config = config

    def compute(self, state: Outcomes | None) -> dict[str, Metric]:
        """The figures; none of no documents."""
        if not state or not state.num_documents:
            return {}
        n = state.num_documents
        spread = self._spread(state)
        found = {"subset_accuracy" if state.multi_label else "accuracy": _accuracy(state.num_right, n)}
        for average in ("macro", "micro", "weighted", *(["samples"] if state.multi_label else [])):
            for name, value in zip(NAMES, _averaged(state, average), strict=True):
                found[f"{name}_{average}"] = Metric(float(value), n, spread.get(f"{name}_{average}"))
        return found

    def details(self, state: Outcomes | None) -> dict[str, Any]:
        """`classes`: for each, its precision, recall and F1, how many documents it has (`support`), and of how many it
        was `predicted`."""
        if not state:
            return {"classes": []}
        counts = _counts(state, state.counts[None].astype(np.float64))
        columns = {name: values[0].tolist() for name, values in scores(counts).items()}
        columns |= {name: getattr(counts, name)[0].astype(int).tolist() for name in ("support", "predicted")}
        rows = zip(state.labels, *columns.values(), strict=True)
        return {"classes": [dict(zip(("label", *columns), row, strict=True)) for row in rows]}

    def _spread(self, state: Outcomes) -> dict[str, float]:
        """Standard deviations over drawn texts; without any, or of one document, none."""
        if self.config.bootstrap < 2 or state.num_documents < 2:
            return {}
        blocks = [_all_averages(state, draws) for draws in self._draws(state)]
        return {name: float(np.concatenate([block[name] for block in blocks]).std(ddof=1)) for name in blocks[0]}

    def _draws(self, state: Outcomes) -> Iterator[np.ndarray]:
        """How many documents have each outcome in each of some texts of the same size: float64 [R, P] at a time."""
        rng = np.random.default_rng(self.config.seed)
        n, shares = state.num_documents, state.counts / state.num_documents
        size = max(1, _BLOCK // max(len(shares), len(state.labels)))
        for start in range(0, self.config.bootstrap, size):
            yield rng.multinomial(n, shares, min(size, self.config.bootstrap - start)).astype(np.float64)


def _accuracy(right: int, n: int) -> Metric:
    # the squared deviations of `right` ones and `n - right` zeros from their mean
    return Metric(right / n, n, stderr(right * (n - right) / n, n))


def _averaged(state: Outcomes, average: str) -> tuple[float, float, float]:
    from sklearn.metrics import precision_recall_fscore_support

    targets, predicted = (state.targets, state.predicted) if state.multi_label else state.rows.T
    found = precision_recall_fscore_support(
        targets, predicted, sample_weight=state.counts, average=average, zero_division=0
    )
    return found[:3]  # type: ignore[no-any-return]


def _all_averages(state: Outcomes, draws: np.ndarray) -> dict[str, np.ndarray]:
    """What `_averaged` gives, of many texts: [R] each."""
    found = averages(_counts(state, draws), all_classes=state.multi_label)
    if not state.multi_label:
        return found
    return found | {f"{name}_samples": ratio(draws @ one, draws.sum(axis=1)) for name, one in _by_outcome(state)}


def _by_outcome(state: Outcomes) -> list[tuple[str, np.ndarray]]:
    """Precision, recall and F1 of a document with each outcome: float64 [P] each."""
    hits, predicted, targets = state.targets & state.predicted, state.predicted, state.targets
    return list(scores(Counts(*(one.sum(axis=1).astype(np.float64) for one in (hits, predicted, targets)))).items())


def _counts(state: Outcomes, draws: np.ndarray) -> Counts:
    """Of each class in each text: [R, C]."""
    if state.multi_label:
        targets, predicted = state.targets, state.predicted
        return Counts(*(draws @ one.astype(np.float64) for one in (targets & predicted, predicted, targets)))
    target, guess = state.rows.T
    size = len(state.labels)
    return Counts(_sums(draws * (target == guess), target, size), _sums(draws, guess, size), _sums(draws, target, size))


def _sums(draws: np.ndarray, classes: np.ndarray, size: int) -> np.ndarray:
    """Sums over the outcomes of each class: [R, P] to [R, C]. A product with indicators would take C times as long."""
    order = np.argsort(classes, kind="stable")
    present, starts = np.unique(classes[order], return_index=True)
    sums = np.zeros((len(draws), size))
    sums[:, present] = np.add.reduceat(draws[:, order], starts, axis=1)
    return sums


__all__ = ["Classification"]
