"""Weights of a linear mixture: expectation-maximisation on held-out text."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import numpy as np

logger = logging.getLogger("lmtool.em")

TOLERANCE = 1e-7
MAX_ITERATIONS = 5000
BLOCK = 1 << 16
"""Tokens that are looked at together."""


class Tuned(NamedTuple):
    """What came of it."""

    weights: np.ndarray
    """float64 [P], summing to one."""
    log_likelihood: float
    """Mean over tokens, nats."""
    gap: float
    """No weights have a mean log-likelihood that is higher by more than this."""


def tune(log_probs: np.ndarray, *, tolerance: float = TOLERANCE, max_iterations: int = MAX_ITERATIONS) -> Tuned:
    """The weights under which a linear mixture gives held-out text the highest likelihood.

    Each step gives a part the mean share that it had in the probability of a token, w <- w g, where g is the mean of
    p_part / p_mixture. It never lowers the likelihood, which is concave in the weights; so max(log g) bounds what is
    still to be won, and tells when to stop.

    Args:
        log_probs: float [P, N], nats, what each part gave to each token; may be memory-mapped.
        tolerance: Nats per token that the best weights may be better by.
        max_iterations: A warning says so if that was not enough.

    References: Jelinek & Mercer, "Interpolated estimation of Markov source parameters from sparse data", 1980.
    """
    weights = np.full(len(log_probs), 1 / len(log_probs))
    for _ in range(max_iterations):
        log_likelihood, gains = step(log_probs, weights)
        gap = math.log(max(gains.max(), 1.0))
        if gap <= tolerance:
            break
        weights = weights * gains
        weights /= weights.sum()
    else:
        log_likelihood, gains = step(log_probs, weights)
        gap = math.log(max(gains.max(), 1.0))
        logger.warning("weights may be %.1g nats per token from the best after %d iterations", gap, max_iterations)
    return Tuned(weights, log_likelihood, gap)


def step(log_probs: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean log-likelihood of the mixture, nats, and for each part the mean of p_part / p_mixture, float64 [P].

    Tokens that no part gives any probability have no say in the weights; nor have those that only parts of weight 0
    give one. The likelihood is -inf if there is any of them.
    """
    num_tokens = log_probs.shape[1]
    total, possible, gains = 0.0, 0, np.zeros(len(weights))
    for start in range(0, num_tokens, BLOCK):
        block = np.asarray(log_probs[:, start : start + BLOCK], np.float64)
        highest = block.max(axis=0)
        block, highest = block[:, highest > -np.inf], highest[highest > -np.inf]
        probs = np.exp(block - highest)
        mixed = weights @ probs
        probs, mixed, highest = probs[:, mixed > 0], mixed[mixed > 0], highest[mixed > 0]
        total += float(np.sum(np.log(mixed) + highest))
        gains += (probs / mixed).sum(axis=1)
        possible += len(mixed)
    if possible < num_tokens:
        total = -math.inf
    return total / num_tokens, gains / max(possible, 1)
