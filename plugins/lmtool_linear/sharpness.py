"""Decisions to probabilities: a temperature, measured on documents that the decisions' classifier did not learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST, HIGHEST = 1e-3, 1e4
"""Temperatures that are looked at: naive Bayes says hundreds of nats where it is sure of one."""


def log_probs_of(decisions: np.ndarray, temperature: float, *, multi_label: bool) -> np.ndarray:
    """float64 [D, C], in nats; of classes that exclude each other, or of each label by itself."""
    scaled = decisions / temperature
    return log_sigmoid(scaled) if multi_label else scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(-np.logaddexp(0.0, -x))


def best_temperature(decisions: np.ndarray, y: np.ndarray) -> float:
    """The temperature under which the true classes are likeliest; 1 if there are no documents to tell by.

    Args:
        decisions: float64 [D, C].
        y: int [D], or bool [D, C].

    References:
        Guo et al., "On calibration of modern neural networks", 2017.
    """
    multi_label = y.ndim == 2
    if not multi_label:
        known = np.isfinite(np.take_along_axis(decisions, y[:, None], axis=1)[:, 0])
        decisions, y = decisions[known], y[known]
    if not len(y):
        return 1.0

    def nats(log_temperature: float) -> float:
        if multi_label:
            return float(-log_sigmoid(np.where(y, decisions, -decisions) / np.exp(log_temperature)).mean())
        log_probs = log_probs_of(decisions, float(np.exp(log_temperature)), multi_label=False)
        return float(-np.take_along_axis(log_probs, y[:, None], axis=1).mean())

    return float(np.exp(lowest(nats, np.log(LOWEST), np.log(HIGHEST))))


def lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with a single valley is lowest, to 1e-4, by golden sections."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-4:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2


__all__ = ["best_temperature", "log_probs_of"]
