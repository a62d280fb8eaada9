"""Whether the truth is among the k likeliest classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lmtool_evaluators.means import Mean

if TYPE_CHECKING:
    from lmtool.api import ClassPredictions, Metric
    from lmtool_evaluators.config import TopKConfig


class TopK:
    """See `TopKConfig`. Of equally likely classes the first comes first, as in `ClassPredictions.predicted`."""

    takes: Literal["classes"] = "classes"

    def __init__(self, config: TopKConfig) -> None:
        self.config = config

    def init(self) -> dict[str, Mean]:
        return {}

    def update(self, state: dict[str, Mean], predictions: ClassPredictions) -> dict[str, Mean]:
        """Means with some more documents."""
        true = _true_by_rank(predictions)
        found = dict(state)
        for k in self.config.k:
            if k < len(predictions.labels):
                name = f"precision_at_{k}" if predictions.multi_label else f"top_{k}_accuracy"
                hits = true[:, :k].sum(axis=1) / (k if predictions.multi_label else 1)
                found[name] = found.get(name, Mean()).plus(Mean.of(hits))
        return found

    def compute(self, state: dict[str, Mean]) -> dict[str, Metric]:
        return {name: mean.metric for name, mean in state.items() if mean.n}


def _true_by_rank(predictions: ClassPredictions) -> np.ndarray:
    """Whether the likeliest class is true, the second likeliest, …: bool [D, C]."""
    order = np.argsort(-predictions.log_probs, axis=1, kind="stable")
    if predictions.multi_label:
        return np.take_along_axis(predictions.targets, order, axis=1)
    return np.asarray(order == predictions.targets[:, None])


__all__ = ["TopK"]
