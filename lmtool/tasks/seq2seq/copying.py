"""Tokens of the source as tokens of the answer: a mixture of the vocabulary's distribution and attention's.

    P(w) = g P_vocab(w) + (1 - g) Σ attention to the places of the source where w stands

All in the logarithm, where nothing is too small. Attention that is paid twice is told by its coverage, what was paid to
each place before.

References:
    See et al., "Get to the point: summarization with pointer-generator networks", 2017 (equations 8 to 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from lmtool.tasks.seq2seq.states import Readout

SMALLEST = 1e-30
"""In the place of no attention at all, whose logarithm there is not."""


def mass_of(shares: jax.Array, source: jax.Array, targets: jax.Array) -> jax.Array:
    """Attention to the places where a target stands: [B, T, S], ids [B, S] and [B, T] to [B, T]."""
    return jnp.sum(jnp.where(source[:, None] == targets[:, :, None], shares, 0.0), axis=-1)


def mass_of_all(shares: jax.Array, source: jax.Array, vocab_size: int) -> jax.Array:
    """As `mass_of`, of each id: [B, K, S] and ids [B, S] to [B, K, V]."""
    batch, rows, _ = shares.shape
    places = (jnp.arange(batch)[:, None, None], jnp.arange(rows)[None, :, None], source[:, None])
    return jnp.zeros((batch, rows, vocab_size)).at[places].add(shares)


def mixed(log_probs: jax.Array, gate: jax.Array, mass: jax.Array) -> jax.Array:
    """Log-probabilities of the mixture, in nats.

    Args:
        log_probs: Of the vocabulary's distribution.
        gate: Logit of g; same shape.
        mass: Of attention; same shape.
    """
    copied = jax.nn.log_sigmoid(-gate) + jnp.log(jnp.maximum(mass, SMALLEST))
    return jnp.logaddexp(jax.nn.log_sigmoid(gate) + log_probs, copied)


def overlap(shares: jax.Array, coverage: jax.Array) -> jax.Array:
    """How much of each step's attention goes to where attention was before, [B, T]: what the coverage loss adds up."""
    return jnp.sum(jnp.minimum(shares, coverage), axis=-1)


def with_copies(log_probs: jax.Array, readout: Readout, source: jax.Array) -> jax.Array:
    """The distribution over all ids at each of [B, T] steps, in nats, what may be copied included; as it is without
    `pointer`.

    Args:
        log_probs: float32 [B, T, V], of the vocabulary's distribution.
        readout: What the network knows there.
        source: int [B, S].
    """
    if readout.gate is None:
        return log_probs
    mass = mass_of_all(readout.shares, source, log_probs.shape[-1])
    return mixed(log_probs, jnp.broadcast_to(readout.gate[:, :, None], mass.shape), mass)


__all__ = ["mass_of", "mixed", "overlap", "with_copies"]
