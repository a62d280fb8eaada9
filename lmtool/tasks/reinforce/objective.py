"""Judged samples to a loss whose gradient points to a higher expected reward.

With the reward R of an answer y, what is made as high as possible is, for a document,

    J = E[R(y) - kl Σ_t KL_t + entropy Σ_t H_t]

The parameters are in the distribution that y is drawn from, and in KL_t and H_t. So the loss of a sample has two parts:
- (R - kl Σ KL_t + entropy Σ H_t - baseline) Σ_t log p(y_t), in which all but log p is a constant;
+ kl Σ KL_t - entropy Σ H_t.
The mean of its gradient is that of -J, without a bias. See `docs/explanation/reinforce.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from lmtool.tasks.reinforce.advantages import advantages

if TYPE_CHECKING:
    from lmtool.tasks.reinforce.config import RewardConfig
    from lmtool.tasks.reinforce.penalties import Tokens


def surrogate(
    tokens: Tokens,
    mask: jax.Array,
    rewards: jax.Array,
    real: jax.Array,
    config: RewardConfig,
    *,
    greedy: jax.Array | None = None,
    ids: jax.Array | None = None,
) -> jax.Array:
    """A number whose gradient is what is wanted; itself it says nothing.

    Args:
        tokens: Of samples, float32 [B, K, T] each.
        mask: bool [B, K, T], True for tokens of a sample, its end included.
        rewards: float32 [B, K].
        real: bool [B], False for rows without a document.
        config: Weights of the parts, and the objective.
        greedy: float32 [B], rewards of the likeliest answers, for the self-critical baseline.
        ids: int32 [B, K, T], with equal ids outside of `mask`, for minimum risk: equal samples count once.

    Returns:
        float32 []: a mean over the samples of all documents, or over their tokens.
    """
    mask = mask & real[:, None, None]
    penalty = _penalty(tokens, mask, config)
    rewards = jax.lax.stop_gradient(rewards - penalty)
    log_probs = jnp.sum(jnp.where(mask, tokens.log_probs, 0.0), axis=2)
    if config.objective == "minimum-risk":
        assert ids is not None
        gained = minimum_risk(log_probs, rewards, ids, config.sharpness) * rewards.shape[1]
    else:
        gained = jnp.sum(advantages(rewards, real, config.baseline, greedy) * log_probs, axis=1)
    per_document = jnp.where(real, jnp.sum(penalty, axis=1) - gained, 0.0)
    count = jnp.sum(mask) if config.normalize == "token" else jnp.sum(real) * rewards.shape[1]
    return jnp.sum(per_document) / jnp.maximum(count, 1).astype(jnp.float32)


def _penalty(tokens: Tokens, mask: jax.Array, config: RewardConfig) -> jax.Array:
    """kl Σ KL_t - entropy Σ H_t of each sample, float32 [B, K]."""
    penalty = jnp.zeros(mask.shape[:2])
    for weight, values in ((config.kl, tokens.divergence), (-config.entropy, tokens.entropy)):
        if weight:
            penalty = penalty + weight * jnp.sum(jnp.where(mask, values, 0.0), axis=2)
    return penalty


def minimum_risk(log_probs: jax.Array, rewards: jax.Array, ids: jax.Array, sharpness: float) -> jax.Array:
    """Expected reward of each document, float32 [B], if samples had their probabilities to the power of `sharpness`,
    scaled to sum to one; equal samples count once.

    Args:
        log_probs: float32 [B, K], of whole samples.
        rewards: float32 [B, K].
        ids: int32 [B, K, T].
        sharpness: α.

    References:
        Shen et al., "Minimum risk training for neural machine translation", 2016 (equations 9 to 12).
    """
    shares = jax.nn.softmax(jnp.where(_is_first(ids), sharpness * log_probs, -jnp.inf), axis=1)
    return jnp.sum(shares * rewards, axis=1)


def _is_first(ids: jax.Array) -> jax.Array:
    """bool [B, K]: whether no sample before is equal."""
    equal = jnp.all(ids[:, :, None] == ids[:, None], axis=3)
    before = jnp.tril(jnp.ones(equal.shape[1:], bool), -1)
    return ~jnp.any(equal & before[None], axis=2)


__all__ = ["minimum_risk", "surrogate"]
