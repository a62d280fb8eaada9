"""How much better a sample is than what was to be expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from lmtool.tasks.reinforce.config import Baseline


def advantages(
    rewards: jax.Array,
    real: jax.Array,
    baseline: Baseline,
    greedy: jax.Array | None = None,
) -> jax.Array:
    """Rewards less a baseline that does not depend on the sample itself, so that no gradient is biased by it.

    Args:
        rewards: float32 [B, K], of K independent samples of each document.
        real: bool [B], False for rows without a document, whose rewards count for nobody.
        baseline: See `RewardConfig`.
        greedy: float32 [B], rewards of the likeliest answers, for "self-critical".

    Returns:
        float32 [B, K]; where there is no other sample, the reward itself.

    References:
        Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", 1992.
        Rennie et al., "Self-critical sequence training for image captioning", 2017.
        Kool et al., "Buy 4 REINFORCE samples, get a baseline for free!", 2019 (leave one out).
    """
    if baseline == "none":
        return rewards
    if baseline == "self-critical":
        assert greedy is not None
        return rewards - greedy[:, None]
    if baseline == "leave-one-out":
        return _less_the_others(rewards, jnp.sum(rewards, axis=1, keepdims=True), jnp.float32(rewards.shape[1]))
    counted = jnp.where(real[:, None], rewards, 0.0)
    count = jnp.sum(real).astype(jnp.float32) * rewards.shape[1]
    return _less_the_others(counted, jnp.sum(counted, keepdims=True), count)


def _less_the_others(rewards: jax.Array, total: jax.Array, count: jax.Array) -> jax.Array:
    """Rewards less the mean of the others, of `count` with a sum of `total`."""
    others: jax.Array = (total - rewards) / jnp.maximum(count - 1.0, 1.0)
    return rewards - others


__all__ = ["advantages"]
