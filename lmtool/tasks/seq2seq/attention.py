"""Where the decoder looks: how well each of its states goes with each of the encoder's.

References:
    Luong et al., "Effective approaches to attention-based neural machine translation", 2015 (dot, general).
    Bahdanau et al., "Neural machine translation by jointly learning to align and translate", 2015 (additive).
    See et al., "Get to the point: summarization with pointer-generator networks", 2017 (coverage).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import matmul
from lmtool.tasks.masking import LOWEST

if TYPE_CHECKING:
    from lmtool.array_types import Hidden, Mask


class Attention(nn.Module):
    """Shares of attention; [B, T, Q] and [B, S, D] to [B, T, S].

    The decoder's T states of a row may be those of one text after another, or of several texts side by side.
    """

    kind: str
    """`dot`, `general` or `additive`."""
    size: int
    """Units of additive attention."""
    query_size: int
    """Q, of the decoder's states."""
    memory_size: int
    """D, of the encoder's; as Q with `dot`."""
    coverage: bool
    """Whether it knows how much has been attended to before."""

    def setup(self) -> None:
        init, normal = nn.initializers.lecun_normal(), nn.initializers.normal(self.size**-0.5)
        if self.kind == "general":
            self.key_kernel = self.param("key_kernel", init, (self.memory_size, self.query_size))
        if self.kind == "additive":
            self.key_kernel = self.param("key_kernel", init, (self.memory_size, self.size))
            self.query_kernel = self.param("query_kernel", init, (self.query_size, self.size))
            self.bias = self.param("bias", nn.initializers.zeros, (self.size,))
            self.vector = self.param("vector", normal, (self.size,))
        if self.coverage:
            self.coverage_vector = self.param("coverage_vector", normal, (self.size,))

    def keys(self, memory: Hidden) -> jax.Array:
        """What the decoder's states are compared with, the same at each step: [B, S, Q], or the size of `additive`."""
        return memory if self.kind == "dot" else matmul(memory, self.key_kernel)

    def __call__(self, query: Hidden, keys: jax.Array, mask: Mask, coverage: jax.Array | None) -> jax.Array:
        """Shares float32 [B, T, S], which add up to one over the source's real tokens, zero elsewhere.

        Args:
            query: [B, T, Q].
            keys: What `keys` gave.
            mask: [B, S], False at padding; each row has a real token.
            coverage: [B, T, S], how much attention each source token had before; None without `coverage`.
        """
        scores = self._scores(query, keys, coverage)
        return jax.nn.softmax(jnp.where(mask[:, None], scores, LOWEST), axis=-1)

    def _scores(self, query: Hidden, keys: jax.Array, coverage: jax.Array | None) -> jax.Array:
        if self.kind != "additive":
            products: jax.Array = jnp.einsum("btq,bsq->bts", query, keys, preferred_element_type=jnp.float32)
            return products
        projected = matmul(query, self.query_kernel, jnp.float32) + self.bias[None, None]
        vectors = (self.vector, self.coverage_vector if self.coverage else None)
        scores: jax.Array = additive_scores(projected, keys.astype(jnp.float32), coverage, *vectors)
        return scores


@jax.checkpoint
def additive_scores(
    query: jax.Array, keys: jax.Array, coverage: jax.Array | None, vector: jax.Array, coverage_vector: jax.Array | None
) -> jax.Array:
    """v · tanh(q + k + c w), [B, T, S]: what lies between, [B, T, S, A], is never in memory as a whole, since XLA makes
    it while it adds it up, and it is made again for the gradient.

    Args:
        query: [B, T, A].
        keys: [B, S, A].
        coverage: [B, T, S], if it counts.
        vector: v, [A].
        coverage_vector: w, [A].
    """
    sums = query[:, :, None] + keys[:, None]
    if coverage is not None and coverage_vector is not None:
        sums = sums + coverage[..., None] * coverage_vector[None, None, None]
    return jnp.sum(jnp.tanh(sums) * vector[None, None, None], axis=-1)


def attended(shares: jax.Array, memory: Hidden) -> jax.Array:
    """The mean of the encoder's states by shares: [B, T, S] and [B, S, D] to [B, T, D], in the states' type."""
    context: jax.Array = jnp.einsum("bts,bsd->btd", shares.astype(memory.dtype), memory)
    return context


class Combine(nn.Module):
    """[…, I] to […, features]: the hyperbolic tangent of a product, or the product alone."""

    features: int
    bounded: bool = True

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (h.shape[-1], self.features))
        product = matmul(h, kernel)
        return jnp.tanh(product) if self.bounded else product


__all__ = ["Attention", "Combine", "additive_scores", "attended"]
