"""How good a model is on the validation split: figures that pick the best one and say when to stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lmtool.errors import ConfigError
from lmtool.evaluation import cut, predictions
from lmtool.evaluation.classes import class_predictions, is_right, nats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.api import Classifier, LanguageModel
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset, Split

WINDOW = 128
"""Time steps of a text that are read at once."""


class Validation(Protocol):
    """Figures of a model on the validation split."""

    names: tuple[str, ...]
    """Of the figures; `loss`, in nats per token or per document, is the first."""

    def __call__(self, model: Any, report: Callable[[float], None]) -> dict[str, float]:
        """Figures by name; `report` is told the fraction of the work that is done."""
        ...


class TokenValidation:
    """Of a language model: nats per token, in `batch_size` pieces of the text."""

    names: tuple[str, ...] = ("loss", "token_perplexity")

    def __init__(self, dataset: Dataset, batch_size: int) -> None:
        self.split, self.tokenizer = dataset.split("valid"), dataset.tokenizer
        self.streams = cut(self.split, self.tokenizer.eos_id, batch_size)

    def __call__(self, model: LanguageModel, report: Callable[[float], None]) -> dict[str, float]:
        total = 0.0
        for piece, fraction in predictions(model, self.split, self.tokenizer, self.streams, bptt=WINDOW):
            total -= float(np.sum(piece.log_probs))
            report(fraction)
        loss = total / self.split.num_tokens
        return {"loss": loss, "token_perplexity": math.exp(loss) if loss < 700 else math.inf}


class ClassValidation:
    """Of a classifier: nats per document, and the share of documents whose class it gets right."""

    names: tuple[str, ...] = ("loss", "accuracy")

    def __init__(self, split: Split) -> None:
        """Raises DataError if a document lacks a label: now, not after an epoch."""
        self.split = split
        _ = split.label_matrix if split.labelled.labels.multi else split.label_ids

    def __call__(self, model: Classifier, report: Callable[[float], None]) -> dict[str, float]:
        total, right = 0.0, 0
        for piece, fraction in class_predictions(model, self.split):
            total += float(nats(piece).sum())
            right += int(is_right(piece).sum())
            report(fraction)
        documents = self.split.num_documents
        return {"loss": total / documents, "accuracy": right / documents}


def make_validation(dataset: Dataset, training: TrainingConfig, *, classes: bool) -> Validation | None:
    """None if there is nothing to validate on.

    Raises:
        ConfigError: if `training.monitor` names a figure that there is not.
    """
    names = (ClassValidation if classes else TokenValidation).names
    if training.monitor not in names:
        raise ConfigError(f"training.monitor must be one of {', '.join(names)}, got '{training.monitor}'")
    if "valid" not in dataset.split_names or not dataset.split("valid").num_tokens:
        return None
    return ClassValidation(dataset.split("valid")) if classes else TokenValidation(dataset, training.batch_size)


def objective(figures: Mapping[str, float], monitor: str) -> float:
    """What is best where it is lowest."""
    return -figures[monitor] if monitor == "accuracy" else figures[monitor]


__all__ = ["ClassValidation", "TokenValidation", "Validation", "make_validation", "objective"]
