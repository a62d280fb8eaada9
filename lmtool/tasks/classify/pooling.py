"""Hidden states of a document to one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import matmul
from lmtool.tasks.masking import LOWEST

if TYPE_CHECKING:
    from lmtool.array_types import Hidden, Mask
    from lmtool.tasks.classify.config import Pool


def last(h: Hidden, mask: Mask, *, causal: bool) -> jax.Array:
    """The state after the last token; of an encoder, which reads in both directions, those at both ends: [B, 2H]."""
    position = mask.sum(axis=1)[:, None, None] - 1
    end: jax.Array = jnp.take_along_axis(h, position, axis=1)[:, 0]
    return end if causal else jnp.concatenate([end, h[:, 0]], axis=-1)


def mean(h: Hidden, mask: Mask) -> jax.Array:
    """[B, H]."""
    total: jax.Array = jnp.sum(jnp.where(mask[:, :, None], h, jnp.zeros((), h.dtype)), axis=1, dtype=jnp.float32)
    count: jax.Array = mask.sum(axis=1)[:, None].astype(jnp.float32)
    return total / count


def largest(h: Hidden, mask: Mask) -> jax.Array:
    """The largest value of each unit, [B, H]."""
    return jnp.max(jnp.where(mask[:, :, None], h, jnp.asarray(LOWEST, h.dtype)), axis=1)


class Attention(nn.Module):
    """A mean whose weights are learned: the softmax of v · tanh(W h + b) over the document's tokens.

    References:
        Yang et al., "Hierarchical attention networks for document classification", 2016 (equations 5 to 7).
    """

    @nn.compact
    def __call__(self, h: Hidden, mask: Mask) -> jax.Array:
        """[B, H]."""
        size = h.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (size, size))
        bias = self.param("bias", nn.initializers.zeros, (size,))
        query = self.param("query", nn.initializers.normal(size**-0.5), (size,))
        scores = jnp.tanh(matmul(h, kernel).astype(jnp.float32) + bias[None, None]) @ query
        weights = jax.nn.softmax(jnp.where(mask, scores, LOWEST), axis=1)
        return jnp.einsum("bt,bth->bh", weights, h.astype(jnp.float32))


class Pooling(nn.Module):
    """One or several of them, side by side, float32 [B, P]."""

    pools: tuple[Pool, ...]
    causal: bool

    def setup(self) -> None:
        if "attention" in self.pools:
            self.attention = Attention()

    def __call__(self, h: Hidden, mask: Mask) -> jax.Array:
        """Of `h` [B, T, H], where `mask` [B, T] is True: at one position of a row or more, which come first."""
        return jnp.concatenate([self._pool(pool, h, mask).astype(jnp.float32) for pool in self.pools], axis=-1)

    def _pool(self, pool: Pool, h: Hidden, mask: Mask) -> jax.Array:
        if pool == "last":
            return last(h, mask, causal=self.causal)
        if pool == "attention":
            attended: jax.Array = self.attention(h, mask)
            return attended
        return mean(h, mask) if pool == "mean" else largest(h, mask)


__all__ = ["Attention", "Pooling", "largest", "last", "mean"]
