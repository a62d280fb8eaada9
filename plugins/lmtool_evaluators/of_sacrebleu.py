"""Figures that sacrebleu computes, from its own statistics of each text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


class OfSacrebleu:
    """One figure of a metric of sacrebleu's, 0 to 100.

    The statistics of a text, and what becomes of their sums, are what `corpus_score` and the paired tests of sacrebleu
    use, by the methods that these tests call.

    Args:
        name: Of the figure.
        metric: `sacrebleu.metrics.BLEU` or the like.
        single: The same for single texts; None for the same one.
    """

    takes: Literal["texts"] = "texts"

    def __init__(self, name: str, metric: Any, single: Any = None) -> None:
        self.names: tuple[str, ...] = (name,)
        self._name, self._metric, self._single = name, metric, single or metric
        self.signature = _signature(metric)

    def statistics(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
        """Counts of n-grams. Texts may have different numbers of references; none stands for an empty one."""
        return np.array(_statistics(self._metric, hypothesis, references), np.float64)

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        """By name; the same float as sacrebleu's."""
        return {self._name: _score(self._metric, totals.astype(np.int64).tolist())}

    def judge(self, hypothesis: str, references: Sequence[str]) -> float:
        """sacrebleu's score of a sentence, over 100."""
        score = _score(self._single, _statistics(self._single, hypothesis, references))
        return min(max(score / 100, 0.0), 1.0)  # of a perfect text it is 100.00000000000004


def _statistics(metric: Any, hypothesis: str, references: Sequence[str]) -> list[int]:
    streams = [[reference] for reference in references or ("",)]
    counts: list[int] = metric._extract_corpus_statistics([hypothesis], streams)[0]
    return counts


def _score(metric: Any, counts: list[int]) -> float:
    return float(metric._compute_score_from_stats(counts).score)


def _signature(metric: Any) -> str:
    """sacrebleu's, without the number of references, which differs from text to text."""
    metric.num_refs = 1
    return str(metric.get_signature()).removeprefix("nrefs:1|")


__all__ = ["OfSacrebleu"]
