"""The log-linear mixture of language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool_mixture.interpolation import Interpolation

if TYPE_CHECKING:
    from lmtool_mixture.ensemble import State


class LogLinearMixture(Interpolation):
    """p(w | text) is in proportion to the product over the parts of p(w | text)^weight; see `lmtool.api.LanguageModel`.

    What one part rules out, whatever its weight, stays impossible, unless the weight is 0. To score a token the parts'
    whole distributions are needed, so it costs as much as to generate it; memory is P·B·V numbers for B streams.

    Args:
        parts: In order; no caches, which rule out most tokens.
        weights: One a part; they need not sum to one.

    References: Klakow, "Log-linear interpolation of language models", 1998.
    """

    mode = "log-linear"

    def score(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        log_probs = np.empty(ids.shape)
        for t in range(ids.shape[1]):
            token = ids[:, t : t + 1]
            log_probs[:, t] = np.take_along_axis(self.next_log_probs(state), np.asarray(token, np.int64), axis=1)[:, 0]
            _, state = self.ensemble.score(token, state)
        return log_probs, state

    def next_log_probs(self, state: State) -> np.ndarray:
        return normalised(self.ensemble.next_log_probs(state), np.asarray(self.weights))


def normalised(log_probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Distributions that are log-linear mixtures of others: [P, N, V] and [P] to float64 [N, V], nats.

    Where each token is ruled out by some part there is no distribution: all are -inf.
    """
    mixed = np.zeros(log_probs.shape[1:])
    for weight, part in zip(weights, log_probs, strict=True):
        if weight:
            # a negative weight must not make certain what the part rules out
            mixed += np.where(part > -np.inf, weight * part, -np.inf) if weight < 0 else weight * part
    highest = mixed.max(axis=1, keepdims=True)
    mixed -= np.where(np.isfinite(highest), highest, 0.0)
    some = np.isfinite(highest[:, 0])
    mixed[some] -= np.log(np.exp(mixed[some]).sum(axis=1, keepdims=True))
    return mixed
