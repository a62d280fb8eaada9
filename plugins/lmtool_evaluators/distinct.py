"""How little a text repeats itself: the share of its n-grams that are distinct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_evaluators.config import DistinctConfig


def distinct(units: Sequence[str], order: int) -> float:
    """Distinct n-grams of a text over all of its n-grams; 0 where it has none.

    >>> distinct("a rose is a rose".split(), order=2)
    0.75
    """
    ngrams = list(zip(*(units[start:] for start in range(order)), strict=False))
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


class Distinct:
    """See `DistinctConfig`. A single text is judged by its longest n-grams; references change nothing.

    References:
        Li et al., "A diversity-promoting objective function for neural conversation models", 2016.
    """

    takes: Literal["texts"] = "texts"
    judges_alone = True

    def __init__(self, config: DistinctConfig) -> None:
        self.config = config
        self._orders = range(config.order, 0, -1)
        self.names = tuple(f"distinct_{order}" for order in self._orders)
        self.signature = f"tok:{config.tokenize}|case:mixed"

    def statistics(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
        """float64 [order + 1]: the share of each order, the longest first, and one for the text."""
        units = self._units(hypothesis)
        return np.array([*(distinct(units, order) for order in self._orders), 1.0], np.float64)

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        """By name: means over texts, times 100."""
        return dict(zip(self.names, (100 * totals[:-1] / totals[-1]).tolist(), strict=True))

    def judge(self, hypothesis: str, references: Sequence[str]) -> float:
        """The share of the longest n-grams."""
        return distinct(self._units(hypothesis), self.config.order)

    def _units(self, text: str) -> list[str]:
        return text.split() if self.config.tokenize == "words" else list("".join(text.split()))


__all__ = ["Distinct", "distinct"]
