"""The confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_evaluators.outcomes import Outcomes, OverOutcomes

if TYPE_CHECKING:
    from lmtool.api import Metric
    from lmtool_evaluators.config import ConfusionConfig


class Confusion(OverOutcomes):
    """See `ConfusionConfig`. It has details alone, no single number."""

    def __init__(self, config: ConfusionConfig) -> None:
        self.config = config

    def compute(self, state: Outcomes | None) -> dict[str, Metric]:
        return {}

    def details(self, state: Outcomes | None) -> dict[str, Any]:
        """`confusion`: `labels` and `matrix` [C, C]; `matrices` [C, 2, 2] where documents have any number of labels."""
        if not state:
            return {"confusion": {"labels": [], "matrix": []}}
        counts, size = state.counts, len(state.labels)
        if not state.multi_label:
            matrix = np.zeros((size, size), np.int64)
            matrix[tuple(state.rows.T)] = counts
            return {"confusion": {"labels": list(state.labels), "matrix": matrix.tolist()}}
        targets, predicted = state.targets.astype(np.int64), state.predicted.astype(np.int64)
        cells = [[counts @ (t * p) for p in (1 - predicted, predicted)] for t in (1 - targets, targets)]
        matrices = np.moveaxis(np.array(cells), 2, 0).tolist()
        return {"confusion": {"labels": list(state.labels), "matrices": matrices}}


__all__ = ["Confusion"]
