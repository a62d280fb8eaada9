"""A mean over a text and its standard error, from sums over lines."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np


class RatioSums(NamedTuple):
    """Sums over lines of a numerator x and a denominator n: `x/n` is, say, nats per token.

    The standard error is that of the ratio estimator, with lines as the sampled units (a token's neighbours depend on
    each other, so tokens are not). For m lines, R = Σx/Σn and d = x − R·n (whose sum is zero)

        stderr(R)² = m/(m−1) · Σd² / (Σn)²,    Σd² = Σx² − 2R·Σxn + R²·Σn²

    so five sums and a count are all that a text of any length leaves behind.

    References: Cochran, "Sampling Techniques", 3rd edition, 1977, equation 2.46, without the finite-population factor.
    """

    x: float = 0.0
    n: float = 0.0
    xx: float = 0.0
    xn: float = 0.0
    nn: float = 0.0
    lines: int = 0

    @classmethod
    def of(cls, x: np.ndarray, n: np.ndarray) -> Self:
        """The sums over these lines.

        Args:
            x: float [L], the numerator of each line.
            n: float [L], its denominator.
        """
        # Infinity times zero is not a number; that is the right answer here, and not worth a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            xx, xn, nn = float((x * x).sum()), float((x * n).sum()), float((n * n).sum())
        return cls(float(x.sum()), float(n.sum()), xx, xn, nn, len(x))

    def plus(self, other: Self) -> Self:
        return type(self)(
            x=self.x + other.x,
            n=self.n + other.n,
            xx=self.xx + other.xx,
            xn=self.xn + other.xn,
            nn=self.nn + other.nn,
            lines=self.lines + other.lines,
        )

    @property
    def relative_stderr(self) -> float | None:
        """stderr(R) / R; None for fewer than two lines, and where a sum is zero or not finite."""
        if self.lines < 2 or not self.x or not self.n:
            return None
        ratio = self.x / self.n
        residual = self.xx - 2 * ratio * self.xn + ratio * ratio * self.nn
        if not math.isfinite(residual):
            return None
        # Where all lines have the same ratio, rounding may leave the residual just below zero.
        return math.sqrt(self.lines / (self.lines - 1) * max(residual, 0.0)) / abs(self.x)
