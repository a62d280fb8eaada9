"""What decoding gives: padded arrays on the device, and the answers made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.api.texts import Hypothesis
from lmtool.decoding.steps import length_penalty

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int


class Answers(NamedTuple):
    """N answers to each of B documents, of at most L tokens, the best first; a pytree."""

    ids: Int[Array, "B N L"]
    """int32, without the end; zeros after each answer's length."""
    lengths: Int[Array, "B N"]
    """int32."""
    log_probs: Float[Array, "B N"]
    """float32, nats: what the model gives to the answer and its end, whatever was searched or drawn by."""
    scores: Float[Array, "B N"]
    """float32; minus infinity where there is no such answer: all fields of it mean nothing."""
    sources: Int[Array, "B N L"] | None
    """int32, the place in the document that each token attends to most; None of a model without attention."""


def score(
    log_probs: Float[Array, "B N"],
    lengths: jax.Array,
    coverage: Float[Array, "B N S"] | None,
    source_mask: jax.Array | None,
    *,
    length_alpha: float,
    coverage_beta: float,
) -> jax.Array:
    """What answers are ranked by, [B, N]: log P / lp(length) + β Σᵢ log min(Σⱼ pᵢⱼ, 1), i over the document's places,
    j over the answer's tokens and its end.

    References: Wu et al., "Google's neural machine translation system", 2016, equation 14.
    """
    scores: jax.Array = log_probs / length_penalty(lengths, length_alpha)
    if coverage is None:
        return scores
    # A place that was never attended to costs something finite, so that answers can still be compared.
    logs = jnp.log(jnp.clip(coverage, 1e-9, 1.0))
    if source_mask is not None:
        logs = jnp.where(source_mask[:, None, :], logs, 0.0)
    scores += jnp.float32(coverage_beta) * jnp.sum(logs, axis=2)
    return scores


def hypotheses(answers: Answers, count: int | None = None) -> list[list[Hypothesis]]:
    """The answers to the first `count` documents, or to all: at least one each, the best first."""
    arrays = Answers(*(None if array is None else np.asarray(array)[:count] for array in answers))
    return [
        [_hypothesis(arrays, row, place) for place in np.flatnonzero(np.isfinite(scores)).tolist()]
        for row, scores in enumerate(arrays.scores)
    ]


def _hypothesis(answers: Answers, row: int, place: int) -> Hypothesis:
    length = int(answers.lengths[row, place])
    sources = None if answers.sources is None else np.array(answers.sources[row, place, :length])
    return Hypothesis(
        ids=np.array(answers.ids[row, place, :length]),
        log_prob=float(answers.log_probs[row, place]),
        score=float(answers.scores[row, place]),
        sources=sources,
    )


__all__ = ["Answers", "hypotheses", "score"]
