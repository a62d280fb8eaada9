"""Embedding, backbone and output layer of a language model, in Flax Linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import matmul
from lmtool.tasks.config import LMConfig, first_given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.array_types import Embedded, Hidden, Ids, Key, Mask

PENALTIES = "penalties"
"""Collection into which modules `sow` what is added to the training loss."""


class LanguageModelNetwork(nn.Module):
    """Embed, read with a causal backbone, and hand over what gives each id of the vocabulary a probability.

    With `precision` "bfloat16", activations have that type in training; weights and the carry stay float32.

    References:
        Merity et al., "Regularizing and optimizing LSTM language models", 2018 (dropouts, AR, TAR).
        Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016
        (locked dropout, dropout of whole tokens).
    """

    config: LMConfig
    output: Any
    """An `lmtool.tasks.output.OutputLayer`."""
    backbone: nn.Module
    precision: str = "float32"

    @property
    def vocab_size(self) -> int:
        return int(self.output.vocab_size)

    def initial_carry(self, batch_size: int) -> Any:
        return self.backbone.initial_carry(batch_size, self.output.embedding_size)

    def init_params(self, key: Key) -> Any:
        """Fresh parameters: a pure function of the key."""
        made = self.init(key, jnp.zeros((1, 1), jnp.int32), None, self.initial_carry(1), train=False)
        return {"params": made["params"]}  # without what a backbone sows at each call

    def setup(self) -> None:
        wanted = self.output.parameters()
        self.weights = {name: self.param(name, init, shape) for name, (init, shape) in wanted.items()}
        if self.backbone.features != self.output.embedding_size:
            self.projection = _Projection(self.output.embedding_size)
        config, shared = self.config, (1,) if self.config.locked_dropout else ()
        self.input_dropout = nn.Dropout(first_given(config.input_dropout, config.dropout), broadcast_dims=shared)
        self.output_dropout = nn.Dropout(first_given(config.output_dropout, config.dropout), broadcast_dims=shared)
        # One draw for each token of the vocabulary: where it occurs twice, it is dropped twice.
        self.token_dropout = nn.Dropout(config.embedding_dropout)

    def __call__(self, inputs: Ids, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        """What the output layer reads: [B, T, E], and the carry."""
        x = self._embed(inputs, train=train)
        h, after = self.backbone(x, mask, carry, train=train)
        h = h.astype(x.dtype)
        after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, carry)
        dropped = self.output_dropout(h, deterministic=not train)
        if train:
            self._regularise(h, dropped, mask)
        if self.backbone.features != self.output.embedding_size:
            dropped = self.projection(dropped)
        return dropped, after

    def output_weights(self) -> Mapping[str, jax.Array]:
        """The weights of `output`."""
        return dict(self.weights)

    def _embed(self, inputs: Ids, *, train: bool) -> Embedded:
        x = self.output.embed(self.weights, inputs)
        if train and self.config.embedding_dropout:
            factors = self.token_dropout(jnp.ones(self.vocab_size), deterministic=False)
            x = x * factors[inputs][:, :, None]
        if train and self.precision == "bfloat16":
            x = x.astype(jnp.bfloat16)
        return self.input_dropout(x, deterministic=not train)

    def _regularise(self, h: Hidden, dropped: Hidden, mask: Mask | None) -> None:
        """AR and TAR: means over unmasked positions (pairs of them) and units."""
        real = jnp.ones(h.shape[:2], bool) if mask is None else mask
        if self.config.activation_regularisation:
            self._penalise("activation", self.config.activation_regularisation, dropped, real)
        if self.config.temporal_activation_regularisation and h.shape[1] > 1:
            change = h[:, 1:].astype(jnp.float32) - h[:, :-1].astype(jnp.float32)
            self._penalise("temporal_activation", self.config.temporal_activation_regularisation, change, real[:, 1:])

    def _penalise(self, name: str, weight: float, values: jax.Array, real: jax.Array) -> None:
        """Sow `weight` times the mean square of [B, T, H] over the positions that are real, [B, T]."""
        squares = jnp.mean(jnp.square(values.astype(jnp.float32)), axis=-1)
        count = jnp.maximum(real.sum(), 1).astype(jnp.float32)
        self.sow(PENALTIES, name, weight * jnp.sum(jnp.where(real, squares, 0.0)) / count)


class _Projection(nn.Module):
    """[…, H] to […, features], linear."""

    features: int

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (h.shape[-1], self.features))
        return matmul(h, kernel)


def with_gradient_of(value: jax.Array, term: Any) -> jax.Array:
    """A number with this value, and the gradient of its sum with a term, say a penalty: what is reported stays."""
    nothing: jax.Array = term - jax.lax.stop_gradient(term)
    return value + nothing


__all__ = ["PENALTIES", "LanguageModelNetwork", "with_gradient_of"]
