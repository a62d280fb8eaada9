"""A mean over documents and its standard error, from sums."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np

from lmtool.api import Metric


class Mean(NamedTuple):
    """Count, mean and sum of squared deviations: all that documents leave behind.

    References:
        Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Of float [D]; infinities make the mean infinite."""
        if not len(values):
            return cls()
        mean = float(values.mean())
        with np.errstate(invalid="ignore"):
            return cls(len(values), mean, float(np.square(values - mean).sum()))

    def plus(self, other: Self) -> Self:
        n = self.n + other.n
        if not self.n or not other.n:
            return self if self.n else other
        if math.isinf(self.mean) or math.isinf(other.mean):
            return type(self)(n, self.mean + other.mean, math.nan)
        gap = other.mean - self.mean
        mean = self.mean + gap * other.n / n
        return type(self)(n, mean, self.squares + other.squares + gap * gap * self.n * other.n / n)

    @property
    def metric(self) -> Metric:
        """Must not be asked for of nothing."""
        return Metric(self.mean, self.n, stderr(self.squares, self.n))


def stderr(squares: float, n: int) -> float | None:
    """Of a mean of n numbers, from the sum of their squared deviations; None for fewer than two, or infinite ones."""
    if n < 2 or not math.isfinite(squares):
        return None
    return math.sqrt(max(squares, 0.0) / (n - 1) / n)
