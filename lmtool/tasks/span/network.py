"""Embed question and context, read both, and score where an answer begins and ends; in Flax Linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import matmul
from lmtool.tasks.asked import stands_in
from lmtool.tasks.classify.pooling import Attention
from lmtool.tasks.config import first_given
from lmtool.tasks.masking import LOWEST
from lmtool.tasks.output import uniform
from lmtool.tasks.span.config import EMBEDDING_SIZE

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Hidden, Ids, Key, Mask
    from lmtool.tasks.span.config import SpanConfig


class SpanNetwork(nn.Module):
    """One backbone reads the question and the context, whose tokens also know whether the question has them and which
    of its tokens are like them. The question becomes a vector by attention, with which each state is compared.

    With `precision` "bfloat16", what the backbone reads and gives has that type in training; the rest is float32.

    References:
        Chen et al., "Reading Wikipedia to answer open-domain questions", 2017 (section 3.2: the exact match, the
        aligned embedding of equation 1, the question's vector, bilinear scores).
    """

    config: SpanConfig
    vocab_size: int
    eos_id: int
    backbone: nn.Module
    precision: str = "float32"

    @property
    def embedding_size(self) -> int:
        return self.config.embedding_size or EMBEDDING_SIZE

    def init_params(self, key: Key) -> Any:
        """Fresh parameters: a pure function of the key."""
        ids, mask = jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool)
        made = self.init(key, ids, mask, ids, mask, train=False)
        return {"params": made["params"]}  # without what a backbone sows at each call

    def setup(self) -> None:
        config, shared = self.config, (1,) if self.config.locked_dropout else ()
        size, hidden = self.embedding_size, int(self.backbone.features)
        init = nn.initializers.lecun_normal()
        self.embedding = self.param("embedding", uniform(0.1), (self.vocab_size, size))
        self.match = self.param("match", uniform(0.1), (size,))
        if config.aligned:
            self.aligned_kernel = self.param("aligned_kernel", init, (size, size))
            self.likeness_kernel = self.param("likeness_kernel", init, (size, size))
        self.input_dropout = nn.Dropout(first_given(config.input_dropout, config.dropout), broadcast_dims=shared)
        self.output_dropout = nn.Dropout(first_given(config.output_dropout, config.dropout), broadcast_dims=shared)
        self.token_dropout = nn.Dropout(config.embedding_dropout)
        self.pooling = Attention()
        self.start_kernel = self.param("start_kernel", init, (hidden, hidden))
        self.end_kernel = self.param("end_kernel", init, (hidden, hidden))

    def __call__(
        self, question: Ids, question_mask: Mask, context: Ids, context_mask: Mask, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Scores of answers that begin, and that end, at each token of the context.

        Args:
            question: int32 [B, Q].
            question_mask: [B, Q], False at padding; each row has a real token.
            context: int32 [B, T].
            context_mask: [B, T], likewise.
            train: True for dropout.

        Returns:
            float32 [B, T] each; they mean nothing at padding.
        """
        both = self._embed(jnp.concatenate([question, context], axis=1), train=train)
        asked, x = both[:, : question.shape[1]], both[:, question.shape[1] :]
        same = stands_in(context, question, question_mask & (question != self.eos_id))
        x = x + same[:, :, None].astype(x.dtype) * self.match.astype(x.dtype)[None, None]
        if self.config.aligned:
            x = x + matmul(self._aligned(asked, question_mask, both[:, question.shape[1] :]), self.aligned_kernel)
        vector = self.pooling(self._read(asked, question_mask, train=train), question_mask)
        h = self._read(x, context_mask, train=train).astype(jnp.float32)
        return self._scores(h, vector, self.start_kernel), self._scores(h, vector, self.end_kernel)

    def _embed(self, ids: Ids, *, train: bool) -> Embedded:
        """[B, N, E]; dropout is the same for the tokens of a question and of its context."""
        x = self.embedding[ids]
        if train and self.config.embedding_dropout:
            factors = self.token_dropout(jnp.ones(self.vocab_size), deterministic=False)
            x = x * factors[ids][:, :, None]
        if train and self.precision == "bfloat16":
            x = x.astype(jnp.bfloat16)
        return self.input_dropout(x, deterministic=not train)

    def _aligned(self, asked: Embedded, mask: Mask, x: Embedded) -> Embedded:
        """[B, T, E]: for each token of the context the mean of the question's, weighed by how like it they are."""
        queries, keys = (jax.nn.relu(matmul(one, self.likeness_kernel)) for one in (x, asked))
        likeness = jnp.einsum("bte,bqe->btq", queries, keys, preferred_element_type=jnp.float32)
        shares = jax.nn.softmax(jnp.where(mask[:, None], likeness, LOWEST), axis=-1)
        return jnp.einsum("btq,bqe->bte", shares.astype(asked.dtype), asked)

    def _read(self, x: Embedded, mask: Mask, *, train: bool) -> Hidden:
        carry = self.backbone.initial_carry(x.shape[0], self.embedding_size)
        h, _ = self.backbone(x, mask, carry, train=train)
        return self.output_dropout(h, deterministic=not train)

    def _scores(self, h: jax.Array, vector: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.einsum("bth,bh->bt", h, matmul(vector, kernel))


__all__ = ["SpanNetwork"]
