"""How often which classes were predicted for documents of which classes: all that counts need to know of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

if TYPE_CHECKING:
    from lmtool.api import ClassPredictions


@dataclass(frozen=True)
class Outcomes:
    """The different outcomes of documents, P of them, and how many documents had each.

    What a document counts for depends on its outcome alone, so drawing D documents with replacement is one draw from a
    multinomial distribution over the outcomes: cells of the confusion matrix, where each document has one class.
    """

    labels: tuple[str, ...]
    multi_label: bool
    rows: np.ndarray
    """Each different, in order: int64 [P, 2], the true and the predicted class; or uint8 [P, ⌈2C/8⌉], a bit for each
    true and then for each predicted label."""
    counts: np.ndarray
    """int64 [P], at least 1 each."""

    @classmethod
    def of(cls, predictions: ClassPredictions) -> Self:
        if predictions.multi_label:
            rows = np.packbits(np.concatenate([predictions.targets, predictions.predicted], axis=1), axis=1)
        else:
            rows = np.stack([predictions.targets, predictions.predicted], axis=1).astype(np.int64)
        ones = np.ones(len(rows), np.int64)
        return cls(predictions.labels, predictions.multi_label, *_merged(rows, ones))

    def plus(self, other: Self) -> Self:
        rows, counts = np.concatenate([self.rows, other.rows]), np.concatenate([self.counts, other.counts])
        return type(self)(self.labels, self.multi_label, *_merged(rows, counts))

    @property
    def num_documents(self) -> int:
        return int(self.counts.sum())

    @property
    def num_right(self) -> int:
        """Documents of which everything was predicted right."""
        right = (self.targets == self.predicted).all(axis=1) if self.multi_label else self.rows[:, 0] == self.rows[:, 1]
        return int(self.counts[right].sum())

    @property
    def targets(self) -> np.ndarray:
        """bool [P, C]."""
        return self._indicators(0)

    @property
    def predicted(self) -> np.ndarray:
        """bool [P, C]."""
        return self._indicators(1)

    def _indicators(self, which: int) -> np.ndarray:
        size = len(self.labels)
        if not self.multi_label:
            return np.asarray(self.rows[:, which, None] == np.arange(size))
        bits = np.unpackbits(self.rows, axis=1, count=2 * size).astype(bool)
        return bits[:, which * size : (which + 1) * size]


class OverOutcomes:
    """What evaluators have in common whose state is the outcomes so far; None before the first piece."""

    takes: Literal["classes"] = "classes"

    def init(self) -> Outcomes | None:
        return None

    def update(self, state: Outcomes | None, predictions: ClassPredictions) -> Outcomes:
        piece = Outcomes.of(predictions)
        return state.plus(piece) if state else piece


def _merged(rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal rows as one, all in order."""
    if not len(rows):
        return rows, counts
    unique, which = np.unique(rows, axis=0, return_inverse=True)
    return unique, np.bincount(which.reshape(-1), counts, len(unique)).astype(np.int64)


__all__ = ["Outcomes", "OverOutcomes"]
