"""Mean negative log-likelihood of documents' classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lmtool_evaluators.means import Mean

if TYPE_CHECKING:
    from lmtool.api import ClassPredictions, Metric
    from lmtool_evaluators.config import LogLossConfig


class LogLoss:
    """See `LogLossConfig`. Infinite if something true was held to be impossible."""

    takes: Literal["classes"] = "classes"

    def __init__(self, config: LogLossConfig) -> None:
        self.config = config

    def init(self) -> Mean:
        return Mean()

    def update(self, state: Mean, predictions: ClassPredictions) -> Mean:
        """The mean with some more documents."""
        log_probs, targets = predictions.log_probs, predictions.targets
        if predictions.multi_label:
            nats = -np.where(targets, log_probs, log_not(log_probs)).mean(axis=1)
        else:
            nats = 0.0 - log_probs[np.arange(len(targets)), targets]
        return state.plus(Mean.of(nats))

    def compute(self, state: Mean) -> dict[str, Metric]:
        return {"log_loss": state.metric} if state.n else {}


def log_not(log_probs: np.ndarray) -> np.ndarray:
    """ln(1 - p) of ln p, exact also where p is close to one."""
    # rounding may leave ln p a little above zero
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(-np.expm1(np.minimum(log_probs, 0.0))))


__all__ = ["LogLoss", "log_not"]
