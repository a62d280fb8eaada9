"""Embedding, backbone, pooling and classes, in Flax Linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.tasks.classify.pooling import Pooling
from lmtool.tasks.config import first_given
from lmtool.tasks.output import uniform

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Ids, Key, Mask
    from lmtool.tasks.classify.config import ClassifyConfig

EMBEDDING_SIZE = 128


class ClassifierNetwork(nn.Module):
    """Embed, read with a backbone, pool, and give each class a logit.

    With `precision` "bfloat16", what the backbone reads and gives has that type in training; the rest is float32.

    References:
        Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
        Howard & Ruder, "Universal language model fine-tuning for text classification", 2018 (concatenated pooling).
    """

    config: ClassifyConfig
    vocab_size: int
    num_classes: int
    backbone: nn.Module
    precision: str = "float32"

    @property
    def embedding_size(self) -> int:
        return self.config.embedding_size or EMBEDDING_SIZE

    def init_params(self, key: Key) -> Any:
        """Fresh parameters: a pure function of the key."""
        made = self.init(key, jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool), train=False)
        return {"params": made["params"]}  # without what a backbone sows at each call

    def setup(self) -> None:
        config, shared = self.config, (1,) if self.config.locked_dropout else ()
        self.embedding = self.param("embedding", uniform(0.1), (self.vocab_size, self.embedding_size))
        self.input_dropout = nn.Dropout(first_given(config.input_dropout, config.dropout), broadcast_dims=shared)
        self.output_dropout = nn.Dropout(first_given(config.output_dropout, config.dropout))
        self.token_dropout = nn.Dropout(config.embedding_dropout)
        self.pooling = Pooling(tuple(config.pooling), getattr(self.backbone, "causal", True))
        if config.hidden_size:
            self.hidden = nn.Dense(config.hidden_size)
        self.head = nn.Dense(self.num_classes)

    def __call__(self, inputs: Ids, mask: Mask, *, train: bool) -> jax.Array:
        """Logits [B, C], float32."""
        return self.classify(self.embed(inputs, train=train), mask, train=train)

    def embed(self, inputs: Ids, *, train: bool = False) -> Embedded:
        """[B, T, E]; whole tokens are dropped here, once for all places where they occur."""
        x = self.embedding[inputs]
        if train and self.config.embedding_dropout:
            factors = self.token_dropout(jnp.ones(self.vocab_size), deterministic=False)
            x = x * factors[inputs][:, :, None]
        return x

    def classify(self, x: Embedded, mask: Mask, *, train: bool = False) -> jax.Array:
        """Logits [B, C] of embedded documents."""
        if train and self.precision == "bfloat16":
            x = x.astype(jnp.bfloat16)
        x = self.input_dropout(x, deterministic=not train)
        carry = self.backbone.initial_carry(x.shape[0], self.embedding_size)
        h, _ = self.backbone(x, mask, carry, train=train)
        pooled = self.output_dropout(self.pooling(h, mask), deterministic=not train)
        if self.config.hidden_size:
            pooled = self.output_dropout(jax.nn.relu(self.hidden(pooled)), deterministic=not train)
        logits: jax.Array = self.head(pooled)
        return logits


__all__ = ["EMBEDDING_SIZE", "ClassifierNetwork"]
