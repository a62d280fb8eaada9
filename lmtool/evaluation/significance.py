"""Whether two models differ by more than chance, judged by the same documents or blocks of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmtool.evaluation.classes import is_right

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import ClassPredictions
    from lmtool.evaluation.blocks import Blocks
    from lmtool.evaluation.classes import Outcomes

    Judged = ClassPredictions | Outcomes

DRAWS = 2000
"""Texts that are drawn for each interval and each randomisation test: a p-value is at least 1/2001."""
LEVEL = 0.95
RANDOMISATION = "approximate randomisation"
_BLOCK = 1 << 22
"""Numbers that are drawn at once."""


@dataclass(frozen=True)
class Difference:
    """How much more one figure is for the second model than for the first."""

    metric: str
    value: float
    low: float
    """Bounds of the 95 % interval: quantiles over texts whose documents were drawn from these (paired bootstrap)."""
    high: float
    p_value: float
    """Two-sided: how often a difference at least as large comes of models that are equally good."""
    test: str
    n: int
    """Documents, or blocks of text."""


@dataclass(frozen=True)
class Comparison:
    """A run beside the first one, on the same documents or text."""

    run: str
    first: str
    differences: list[Difference]


def differences(first: Judged, second: Judged, *, seed: int = 0) -> list[Difference]:
    """Of accuracy, by McNemar's exact test; of macro-averaged F1, by approximate randomisation.

    Args:
        first: Of at least one document.
        second: Of the same documents and classes.
        seed: Decides what is drawn.

    Raises:
        ValueError: if they are of other documents or classes.

    References:
        McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", 1947;
        Yeh, "More accurate tests for the statistical significance of result differences", 2000; Efron & Tibshirani, "An
        introduction to the bootstrap", 1993.
    """
    if first.labels != second.labels or not np.array_equal(first.targets, second.targets):
        raise ValueError("the predictions are of other documents or classes")
    pairs = _Pairs(first, second)
    spread = np.concatenate(list(_drawn_differences(pairs, np.random.default_rng([seed, 0]))), axis=1)
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1).tolist()
    right = [is_right(one) for one in (first, second)]
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    n = len(first.targets)
    accuracy = "subset_accuracy" if first.multi_label else "accuracy"
    macro, p_value = _randomisation(pairs, np.random.default_rng([seed, 1]))
    return [
        Difference(accuracy, (gained - lost) / n, low[0], high[0], mcnemar(gained, lost), "exact McNemar", n),
        Difference("f1_macro", macro, low[1], high[1], p_value, RANDOMISATION, n),
    ]


def token_difference(first: Blocks, second: Blocks, *, seed: int = 0) -> Difference:
    """Of nats per token, between language models of the same tokens: by approximate randomisation over blocks of text.

    Args:
        first: At least one block, all with finite nats.
        second: Of the same text.
        seed: Decides what is drawn.

    Raises:
        ValueError: if they are of other texts.

    References:
        As for `differences`, and Koehn, "Statistical significance tests for machine translation evaluation", 2004.
    """
    if not np.array_equal(first.tokens, second.tokens):
        raise ValueError("the blocks are of other texts")
    there = first.tokens > 0
    gaps, tokens = (second.nats - first.nats)[there], first.tokens[there]
    n = len(gaps)
    drawn = np.random.default_rng([seed, 0]).multinomial(n, np.full(n, 1 / n), DRAWS)
    spread = drawn @ gaps / (drawn @ tokens)
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    signs = np.random.default_rng([seed, 1]).integers(0, 2, (DRAWS, n)) * 2 - 1
    observed = abs(gaps.sum())
    extreme = int((np.abs(signs @ gaps) >= observed - 1e-9 * max(1.0, observed)).sum())
    value = float(gaps.sum() / tokens.sum())
    return Difference("nats_per_token", value, low, high, (extreme + 1) / (DRAWS + 1), RANDOMISATION, n)


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value: that so few of the documents that one classifier alone gets right are of one side, by a coin.

    Args:
        gained: Documents that the second one alone gets right.
        lost: Documents that the first one alone gets right.

    >>> round(mcnemar(0, 5), 9)  # twice 1/32
    0.0625
    """
    n, fewer = gained + lost, min(gained, lost)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(fewer + 1)
    log_choose = log_factorials[n] - log_factorials[k] - log_factorials[n - k]
    return min(1.0, 2 * float(np.exp(log_choose - n * np.log(2)).sum()))


class _Pairs:
    """The different outcomes of documents under two classifiers, K of them, and how many documents had each.

    Draws of documents, and which of the two a prediction is taken for, depend on the outcomes alone.
    """

    def __init__(self, first: Judged, second: Judged) -> None:
        self.num_classes, self.multi_label = len(first.labels), first.multi_label
        parts = [first.targets, first.predicted, second.predicted]
        if self.multi_label:
            rows = np.stack([np.packbits(part, axis=1) for part in parts], axis=1)
        else:
            rows = np.stack(parts, axis=1)[:, :, None]
        rows, self.counts = np.unique(rows, axis=0, return_counts=True)
        self.differing: np.ndarray = (rows[:, 1] != rows[:, 2]).any(axis=1)
        """bool [K]."""
        self.right = [(rows[:, 0] == rows[:, which]).all(axis=1) for which in (1, 2)]
        """bool [K] each: what the first and the second get right."""
        bits = (np.unpackbits(rows[:, i], axis=1, count=self.num_classes) for i in range(3))
        self._parts = [one.astype(np.float64) for one in bits] if self.multi_label else list(rows[:, :, 0].T)
        """The targets, the first's and the second's predictions: int [K], or 0 and 1, float64 [K, C]."""

    def __len__(self) -> int:
        return len(self.counts)

    def f1_macro(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Of R texts, in which so many documents of each outcome are predicted by the one and by the other: [R].

        Args:
            first: float64 [R, K].
            second: float64 [R, K].
        """
        size = self._by_class(first + second, self._parts[0])
        hits = np.zeros_like(size)
        for weights, predicted, right in zip((first, second), self._parts[1:], self.right, strict=True):
            size += self._by_class(weights, predicted)
            both = self._parts[0] * predicted if self.multi_label else self._parts[0]
            hits += self._by_class(weights if self.multi_label else weights * right, both)
        f1 = np.divide(2 * hits, size, out=np.zeros_like(size), where=size > 0)
        # as in scikit-learn: a class that is nowhere does not count, but a label does
        return np.asarray(f1.sum(axis=1) / (self.num_classes if self.multi_label else (size > 0).sum(axis=1)))

    def _by_class(self, weights: np.ndarray, part: np.ndarray) -> np.ndarray:
        """The documents of each class: [R, K] to [R, C]."""
        if self.multi_label:
            return np.asarray(weights @ part)
        order = np.argsort(part, kind="stable")
        classes, starts = np.unique(part[order], return_index=True)
        sums = np.zeros((len(weights), self.num_classes))
        sums[:, classes] = np.add.reduceat(weights[:, order], starts, axis=1)
        return sums


def _blocks(pairs: _Pairs) -> Iterator[int]:
    """How many texts are drawn at a time."""
    most = max(1, _BLOCK // max(len(pairs), pairs.num_classes))
    for start in range(0, DRAWS, most):
        yield min(most, DRAWS - start)


def _drawn_differences(pairs: _Pairs, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Differences in accuracy and in macro-F1, over texts of as many documents, drawn with replacement: [2, R]."""
    n = int(pairs.counts.sum())
    gains = pairs.right[1].astype(np.float64) - pairs.right[0]
    for texts in _blocks(pairs):
        drawn = rng.multinomial(n, pairs.counts / n, texts).astype(np.float64)
        none = np.zeros_like(drawn)
        yield np.stack([drawn @ gains / n, pairs.f1_macro(none, drawn) - pairs.f1_macro(drawn, none)])


def _randomisation(pairs: _Pairs, rng: np.random.Generator) -> tuple[float, float]:
    """The difference in macro-F1, and how often it is as large if each document's predictions are dealt by a coin."""
    counts, nothing = pairs.counts[None].astype(np.float64), np.zeros((1, len(pairs)))
    observed = float((pairs.f1_macro(nothing, counts) - pairs.f1_macro(counts, nothing))[0])
    mixed, extreme = pairs.counts[pairs.differing], 0
    for texts in _blocks(pairs):
        swapped = np.zeros((texts, len(pairs)))
        swapped[:, pairs.differing] = rng.binomial(mixed, 0.5, (texts, len(mixed)))
        kept = counts - swapped
        dealt = pairs.f1_macro(swapped, kept) - pairs.f1_macro(kept, swapped)
        extreme += int((np.abs(dealt) >= abs(observed) - 1e-12).sum())
    return observed, (extreme + 1) / (DRAWS + 1)


__all__ = ["DRAWS", "LEVEL", "Comparison", "Difference", "differences", "mcnemar", "token_difference"]
