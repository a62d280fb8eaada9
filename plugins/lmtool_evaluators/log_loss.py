"""Mean negative log-likelihood of documents' classes: what training minimises and validation reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lmtool.evaluation.classes import nats
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
        return state.plus(Mean.of(nats(predictions)))

    def compute(self, state: Mean) -> dict[str, Metric]:
        return {"log_loss": state.metric} if state.n else {}


__all__ = ["LogLoss"]
