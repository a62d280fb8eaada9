"""Embedding, backbone and output layer of a language model, in Flax Linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.tasks.config import LMConfig

if TYPE_CHECKING:
    from lmtool.array_types import Hidden, Ids, Key, Mask


class LanguageModelNetwork(nn.Module):
    """Embed, read with a causal backbone, and give each id of the vocabulary a logit."""

    config: LMConfig
    vocab_size: int
    backbone: nn.Module

    @property
    def embedding_size(self) -> int:
        return self.config.embedding_size or self.backbone.features

    def initial_carry(self, batch_size: int) -> Any:
        return self.backbone.initial_carry(batch_size, self.embedding_size)

    def setup(self) -> None:
        self.embedding = self.param("embedding", _uniform(0.1), (self.vocab_size, self.embedding_size))
        if self.backbone.features != self.embedding_size:
            self.projection = nn.Dense(self.embedding_size, use_bias=False)
        if not self.config.tied:
            self.output_embedding = self.param("output_embedding", _uniform(0.1), self.embedding.shape)
        self.output_bias = self.param("output_bias", nn.initializers.zeros, (self.vocab_size,))
        shared = (1,) if self.config.locked_dropout else ()
        self.dropout = nn.Dropout(self.config.dropout, broadcast_dims=shared)

    def __call__(self, inputs: Ids, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        """What the output layer reads: [B, T, E], and the carry."""
        x = self.dropout(self.embedding[inputs], deterministic=not train)
        h, carry = self.backbone(x, mask, carry, train=train)
        h = self.dropout(h, deterministic=not train)
        if self.backbone.features != self.embedding_size:
            h = self.projection(h)
        return h, carry

    def output_layer(self) -> tuple[jax.Array, jax.Array]:
        """Output embedding [V, E] and bias [V]: the logits of h [N, E] are `h @ embedding.T + bias`."""
        return (self.embedding if self.config.tied else self.output_embedding), self.output_bias


def logits(h: jax.Array, output_layer: tuple[jax.Array, jax.Array]) -> jax.Array:
    """[N, E] to [N, V], float32."""
    output_embedding, bias = output_layer
    return (h @ output_embedding.T + bias[None]).astype(jnp.float32)


def target_log_probs(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Log-probability of each target, in nats: [N, V] and [N] to [N]."""
    chosen = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def _uniform(bound: float) -> nn.initializers.Initializer:
    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
