"""How much figures of a corpus depend on which texts are in it: those of texts drawn from it with replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from lmtool.evaluation.significance import DRAWS, LEVEL, Difference

if TYPE_CHECKING:
    from collections.abc import Sequence

BOOTSTRAP = "paired bootstrap"
_BLOCK = 1 << 22
"""Numbers that are drawn at once."""


class Figures(Protocol):
    """What makes figures of sums: a `lmtool.api.TextEvaluator`, for one."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def figures(self, totals: np.ndarray) -> dict[str, float]: ...


class Spread(NamedTuple):
    """Of one figure, over corpora drawn from the one there is."""

    stderr: float
    low: float
    """Bounds of the 95 % interval: quantiles."""
    high: float


def spread(maker: Figures, statistics: np.ndarray, *, seed: int = 0) -> dict[str, Spread]:
    """How far each figure is off by the choice of texts; empty of fewer than two texts, or infinite statistics.

    Args:
        maker: Of figures from sums.
        statistics: float64 [D, M], of each text.
        seed: Decides what is drawn.

    References:
        Koehn, "Statistical significance tests for machine translation evaluation", 2004; Efron & Tibshirani, "An
        introduction to the bootstrap", 1993.
    """
    if len(statistics) < 2 or not np.isfinite(statistics).all():
        return {}
    drawn = _figures(maker, drawn_sums(statistics, seed=seed))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    found = zip(drawn.std(axis=0, ddof=1).tolist(), low.tolist(), high.tolist(), strict=True)
    return dict(zip(maker.names, map(Spread._make, found), strict=True))


def paired_differences(
    maker: Figures, first: np.ndarray, second: np.ndarray, *, names: Sequence[str] = (), seed: int = 0
) -> list[Difference]:
    """How much higher each figure is of the second model than of the first, by texts drawn for both at once.

    The p-value is two-sided: twice the share of corpora in which the other one is ahead, or none is. It is below 0.05
    where the 95 % interval leaves zero out.

    Args:
        maker: Of figures from sums.
        first: float64 [D, M], finite, of at least two texts.
        second: Of another model, of the same texts.
        names: Of the figures that are wanted; all if left out.
        seed: Decides what is drawn.

    References:
        As for `spread`.
    """
    drawn = drawn_sums(np.hstack([first, second]), seed=seed)
    size = first.shape[1]
    gaps = _figures(maker, drawn[:, size:]) - _figures(maker, drawn[:, :size])
    before, after = (maker.figures(one.sum(axis=0)) for one in (first, second))
    found = []
    for name, column in zip(maker.names, gaps.T, strict=True):
        if names and name not in names:
            continue
        low, high = np.quantile(column, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
        value = after[name] - before[name]
        found.append(Difference(name, value, low, high, _p_value(column), BOOTSTRAP, len(first)))
    return found


def _p_value(gaps: np.ndarray) -> float:
    against = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    return min(1.0, 2 * (against + 1) / (len(gaps) + 1))


def _figures(maker: Figures, sums: np.ndarray) -> np.ndarray:
    """Float64 [R, names] of sums [R, M]."""
    return np.array([[*maker.figures(one).values()] for one in sums], np.float64)


def drawn_sums(statistics: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Sums over as many texts as there are, drawn with replacement, `DRAWS` times: float64 [DRAWS, M].

    Which texts are drawn depends on the seed and on how many there are, and on nothing else.
    """
    rng = np.random.default_rng(seed)
    n = len(statistics)
    blocks = []
    for start in range(0, DRAWS, size := max(1, _BLOCK // n)):
        draws = range(min(size, DRAWS - start))
        counts = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in draws])
        blocks.append(counts.astype(np.float64) @ statistics)
    return np.concatenate(blocks)


__all__ = ["BOOTSTRAP", "Figures", "Spread", "drawn_sums", "paired_differences", "spread"]
