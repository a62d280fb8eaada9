"""The linear mixture of language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool_mixture.interpolation import Interpolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_mixture.ensemble import State
    from lmtool_mixture.parts import Parts


class LinearMixture(Interpolation):
    """p(w | text) is the sum over the parts of weight times p(w | text); see `lmtool.api.LanguageModel`.

    Before the first token caches have nothing to say: the other parts have their weights, scaled to sum to one.

    Args:
        parts: In order.
        weights: One a part, summing to one; those of the models have a sum above zero.
    """

    mode = "linear"

    def __init__(self, parts: Parts, weights: Sequence[float]) -> None:
        super().__init__(parts, weights)
        of_models = np.where(np.arange(self.ensemble.size) < len(self.ensemble.models), self.weights, 0.0)
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(self.weights))
            self._at_first = np.log(of_models / of_models.sum())

    def score(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        log_probs, after = self.ensemble.score(ids, state)
        if not state.nothing_read:
            return mix(log_probs, self._log_weights), after
        first, others = log_probs[..., :1], log_probs[..., 1:]
        return np.concatenate([mix(first, self._at_first), mix(others, self._log_weights)], axis=1), after

    def next_log_probs(self, state: State) -> np.ndarray:
        weights = self._at_first if state.nothing_read else self._log_weights
        return mix(self.ensemble.next_log_probs(state), weights)


def mix(log_probs: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """The logarithm of the weighted sum of the parts' probabilities.

    Args:
        log_probs: float64 [P, B, N], nats; overwritten.
        log_weights: float64 [P].

    Returns:
        float64 [B, N].
    """
    log_probs += log_weights[:, None, None]
    highest = log_probs.max(axis=0)
    # Where no part gives anything, -inf - -inf would be no number.
    log_probs -= np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        mixed: np.ndarray = np.log(np.exp(log_probs).sum(axis=0)) + highest
    return mixed
