"""Documents to what a classifier says of them, many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lmtool.incoming import Entry, as_documents
from lmtool.posterior import SampledClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from lmtool.api import Classifier, Tokenizer

DIGITS = 6
"""Of probabilities."""


class Doubt(NamedTuple):
    """How sure the average over samples of the weights is, in nats; see `lmtool.posterior.Predictive`."""

    entropy: float
    mutual_information: float


@dataclass(frozen=True)
class Verdict:
    """What is said of a document."""

    entry: Entry
    labels: tuple[str, ...]
    probabilities: np.ndarray
    """float64 [C]."""
    chosen: tuple[int, ...]
    """The likeliest class; where there may be several, those likely enough, the likeliest first."""
    doubt: Doubt | None = None
    """None for a single set of weights."""

    def ranked(self, k: int) -> list[int]:
        """The k likeliest classes, the first of equals first."""
        return ranked(self.probabilities)[:k]

    def pair(self, number: int) -> tuple[str, float]:
        """A class's name and its probability, with `DIGITS` digits."""
        return self.labels[number], float(f"{self.probabilities[number]:.{DIGITS}g}")


def judge(
    model: Classifier, tokenizer: Tokenizer, entries: Sequence[Entry], *, threshold: float = 0.5
) -> list[Verdict]:
    """What a classifier says of documents, in order.

    Args:
        model: Of the tokenizer's ids.
        tokenizer: Of the model.
        entries: At most `lmtool.incoming.AT_ONCE` or so.
        threshold: Where a document may have any number of labels: the probability from which on it has one.

    Raises:
        DamagedModelError: if the classifier gives something that is no log-probability.
    """
    if not entries:
        return []
    import numpy as np

    from lmtool.evaluation.classes import checked

    documents = as_documents(tokenizer, [entry.text for entry in entries])
    doubts: list[Doubt | None] = [None] * len(entries)
    if isinstance(model, SampledClassifier):
        found = model.predictive(documents)
        log_probs = checked(found.log_probs)
        doubts = list(map(Doubt, found.entropy.tolist(), found.mutual_information.tolist()))
    else:
        log_probs = checked(model.log_probs(documents))
    probabilities = np.exp(np.minimum(log_probs, 0.0))
    return [
        Verdict(entry, model.labels, row, _chosen(row, threshold if model.multi_label else None), doubt)
        for entry, row, doubt in zip(entries, probabilities, doubts, strict=True)
    ]


def _chosen(probabilities: np.ndarray, threshold: float | None) -> tuple[int, ...]:
    if threshold is None:
        return (int(probabilities.argmax()),)
    return tuple(number for number in ranked(probabilities) if probabilities[number] >= threshold)


def ranked(probabilities: np.ndarray) -> list[int]:
    """Classes from the likeliest to the least likely, the first of equals first."""
    order: list[int] = (-probabilities).argsort(kind="stable").tolist()
    return order


__all__ = ["DIGITS", "Doubt", "Verdict", "judge", "ranked"]
