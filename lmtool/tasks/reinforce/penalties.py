"""What the distribution of each next token says of a model: the drawn token's log-probability, entropy, divergence.

`log_probs` and `reference` are float32 [..., V], normalised, in nats; what is made of them is float32 [...].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Tokens(NamedTuple):
    """Of each token that was drawn, float32 [..., T], in nats; differentiable."""

    log_probs: jax.Array
    entropy: Any
    """Of the distribution that it was drawn from; None if nobody asks."""
    divergence: Any
    """Of that distribution from the starting model's, or an estimate of it; None if nobody asks."""


def tempered(log_probs: jax.Array, temperature: float) -> jax.Array:
    """Log-probabilities of the distribution with these logits over the temperature."""
    if temperature == 1:
        return log_probs
    return jax.nn.log_softmax(log_probs / temperature)


def of_drawn(log_probs: jax.Array, ids: jax.Array) -> jax.Array:
    """Log-probabilities of the tokens that were drawn."""
    return jnp.take_along_axis(log_probs, ids[..., None], axis=-1)[..., 0]


def entropy(log_probs: jax.Array) -> jax.Array:
    """-Σ p log p, in nats. A token without any chance adds nothing."""
    return -_expected(log_probs, log_probs)


def divergence(log_probs: jax.Array, reference: jax.Array) -> jax.Array:
    """KL(p ‖ q) = Σ p (log p - log q), in nats, of p from the reference q."""
    return _expected(log_probs, log_probs - reference)


def k3(log_probs: jax.Array, reference: jax.Array) -> jax.Array:
    """An estimate of KL(p ‖ q) from one token drawn from p: q/p - 1 - log q/p. Its mean is the divergence, it is never
    negative, and varies less than -log q/p, whose mean that is as well.

    Args:
        log_probs: log p of the token.
        reference: log q of the token.

    References:
        Schulman, "Approximating KL divergence", 2020.
    """
    ratio = reference - log_probs
    return jnp.expm1(ratio) - ratio


def _expected(log_probs: jax.Array, values: jax.Array) -> jax.Array:
    """Σ p · values. Where log p is minus infinity, neither the value nor its gradient counts."""
    possible = log_probs > -jnp.inf
    safe = jnp.where(possible, log_probs, 0.0)
    return jnp.sum(jnp.where(possible, jnp.exp(safe) * jnp.where(possible, values, 0.0), 0.0), axis=-1)


__all__ = ["Tokens", "divergence", "entropy", "k3", "of_drawn", "tempered"]
