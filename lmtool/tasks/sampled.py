"""Sampled softmax: in training, a few tokens stand for the vocabulary; evaluation is that of the full softmax.

The tokens of a step are drawn without replacement, in proportion to how often they occur in the training text. Each of
them then counts as one over the probability that it is among the drawn, so that the normaliser's estimate has the
right expectation, whatever the number of samples; frequent tokens are nearly always drawn and count as one.

References:
    Bengio & Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic language
    model", 2008. Jean et al., "On using very large target vocabulary for neural machine translation", 2015.
    Cohen & Kaplan, "Summarizing data using bottom-k sketches", 2007 (the estimate, by rank conditioning).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.matmul import matmul
from lmtool.tasks.output import FullSoftmax

if TYPE_CHECKING:
    from lmtool.array_types import Key
    from lmtool.tasks.output import Weights

NEVER = -1e30
"""A logit that adds nothing; finite, because a gradient goes through it."""


@dataclass(frozen=True, eq=False)
class SampledSoftmax(FullSoftmax):
    """See `lmtool.tasks.output.OutputLayer`."""

    num_samples: int = 2048
    counts: np.ndarray | None = None
    """int64 [V], occurrences in the training text; needed for training only."""

    def nll(self, weights: Weights, h: jax.Array, targets: jax.Array, importance: jax.Array, *, key: Key) -> jax.Array:
        if self.num_samples >= self.vocab_size:
            return super().nll(weights, h, targets, importance, key=key)
        samples, log_inclusion = draw(self._proposals(), self.num_samples, key)
        embedding, bias = self.output_embedding(weights), weights["output_bias"]
        # One gather for both, so that the gradient is scattered once.
        rows = embedding[jnp.concatenate([samples, targets])]
        of_targets = jnp.sum(h.astype(jnp.float32) * rows[samples.size :], axis=-1) + bias[targets]
        of_samples = (
            matmul(h, rows[: samples.size], jnp.float32, transpose=True) + (bias[samples] - log_inclusion)[None]
        )
        of_samples = jnp.where(samples[None] == targets[:, None], NEVER, of_samples)
        normaliser = jnp.logaddexp(of_targets, jax.nn.logsumexp(of_samples, axis=-1))
        return jnp.sum((normaliser - of_targets) * importance)

    def _proposals(self) -> np.ndarray:
        """float32 [V]: one more than the counts, as a share; tokens that never occur are learnt, too."""
        counts = np.zeros(self.vocab_size) if self.counts is None else self.counts
        return ((counts + 1) / np.sum(counts + 1)).astype(np.float32)


def draw(proposals: np.ndarray, num_samples: int, key: Key) -> tuple[jax.Array, jax.Array]:
    """Different tokens, and the logarithm of the probability that each is among them.

    Each token's clock rings after a time that is exponential with its rate; the first k to ring are drawn. Given when
    the next one rings, τ, each of the others was independently drawn with probability 1 - exp(-rate τ).

    Args:
        proposals: float32 [V], positive; the clocks' rates.
        num_samples: k, less than V.
        key: Used up.

    Returns:
        int32 [k] and float32 [k].
    """
    rates = jnp.asarray(proposals)
    rings = jax.random.exponential(key, rates.shape) / rates
    minus_rings, drawn = jax.lax.top_k(-rings, num_samples + 1)
    samples, next_ring = drawn[:-1], -minus_rings[-1]
    return samples, jnp.log(-jnp.expm1(-rates[samples] * next_ring))


__all__ = ["SampledSoftmax", "draw"]
