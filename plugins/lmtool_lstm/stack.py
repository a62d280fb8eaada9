"""Layers of recurrent units, one above the other: all that LSTM, GRU and plain networks share.

The arrays between layers are [T, B, …], time first, as the scans want them.

References:
    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016 (locked).
    Merity et al., "Regularizing and optimizing LSTM language models", 2018 (weight dropout).
    Ba et al., "Layer normalization", 2016; before each layer as in Xiong et al. 2020.
    Schuster & Paliwal, "Bidirectional recurrent neural networks", 1997.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import matmul
from lmtool.sharding import by_batch
from lmtool_lstm.config import RecurrentConfig
from lmtool_lstm.initializers import blocks, uniform

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Hidden, Mask

States: TypeAlias = tuple[jax.Array, ...]
"""A layer's states, the output last: the cell is (c, h) or (h,)."""


class Stack(nn.Module):
    """[B, T, E] to [B, T, H]. A subclass is a cell: it says what a layer's states are and how a layer reads a window.

    What a layer reads is first normalised (`layer_norm`), then dropped out; `residual` adds it as it was before to the
    layer's output. Normalising happens outside the recurrence, for all time steps at once.

    The carry is a layer's states, [B, size] each, from the input up. A bidirectional stack has none: it reads each
    window alone, forwards and from each row's last real position backwards, and its output is both, side by side.
    """

    config: RecurrentConfig

    def state_sizes(self, size: int) -> tuple[int, ...]:
        """Of the states of a layer of `size` units, the output's last."""
        raise NotImplementedError

    def read(self, name: str, x: jax.Array, states: States, size: int, *, train: bool) -> States:
        """The states of a layer, [T, B, …] each, after each time step.

        Args:
            name: Put before the parameters' names.
            x: [T, B, I].
            states: Before the window, [B, …] each.
            size: Units.
            train: True for weight dropout.
        """
        raise NotImplementedError

    @property
    def causal(self) -> bool:
        return not self.config.bidirectional

    @property
    def features(self) -> int:
        size = self.state_sizes(self.config.sizes[-1])[-1]
        return 2 * size if self.config.bidirectional else size

    def initial_carry(self, batch_size: int, input_size: int) -> tuple[States, ...]:
        return tuple(self._zeros(batch_size, size) for size in self.config.sizes) if self.causal else ()

    def _zeros(self, batch_size: int, size: int) -> States:
        return tuple(jnp.zeros((batch_size, state_size)) for state_size in self.state_sizes(size))

    @nn.compact
    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        lengths = None if mask is None else mask.sum(axis=1)
        x = x.swapaxes(0, 1)
        last_carry = []
        for layer, size in enumerate(self.config.sizes):
            name = f"layer_{layer}"
            inputs = self._prepare(name, x, dropout=self.config.dropout if layer and train else 0.0)
            if self.causal:
                states = self.read(name, inputs, carry[layer], size, train=train)
                last_carry.append(_last_states(states, lengths, carry[layer]))
                h = states[-1].astype(x.dtype)
            else:
                h = self._read_both_ways(name, inputs, lengths, size, train=train)
            x = h + x if self.config.residual and h.shape == x.shape else h
        return x.swapaxes(0, 1), tuple(last_carry)

    def _prepare(self, name: str, x: jax.Array, *, dropout: float) -> jax.Array:
        if self.config.layer_norm:
            x = nn.LayerNorm(name=f"{name}_norm")(x.astype(jnp.float32)).astype(x.dtype)
        if dropout:
            shared = (0,) if self.config.locked_dropout else ()
            x = nn.Dropout(dropout, broadcast_dims=shared)(x, deterministic=False)
        return x

    def _read_both_ways(
        self, name: str, x: jax.Array, lengths: jax.Array | None, size: int, *, train: bool
    ) -> jax.Array:
        zeros = self._zeros(x.shape[1], size)
        forward = self.read(name, x, zeros, size, train=train)[-1]
        backward = self.read(f"{name}_backward", reverse(x, lengths), zeros, size, train=train)[-1]
        return jnp.concatenate([forward, reverse(backward, lengths)], axis=-1).astype(x.dtype)

    def project(self, name: str, x: jax.Array, size: int, gates: int, bias: nn.initializers.Initializer) -> jax.Array:
        """[T, B, gates * size]: the inputs times the input kernel plus the bias, in x's type.

        One matmul for all time steps: only h @ recurrent_kernel must wait for the step before.
        """
        kernel = self.param(f"{name}_input_kernel", uniform(size), (x.shape[-1], gates * size))
        offset = self.param(f"{name}_bias", bias, (gates * size,))
        product: jax.Array = by_batch(partial(matmul, dtype=jnp.float32), axes=(1, None), out_axes=1)(x, kernel)
        # Added in float32: the bias's gradient is a sum over all rows, of which bfloat16 would lose most.
        projected: jax.Array = (product + offset[None, None]).astype(x.dtype)
        return projected

    def recurrent_kernel(self, name: str, rows: int, size: int, gates: int, *, train: bool) -> jax.Array:
        """[rows, gates * size]; in training thinned out, by one mask for the window."""
        init = uniform(size) if self.config.recurrent_init == "uniform" else blocks(nn.initializers.orthogonal(), gates)
        kernel: jax.Array = self.param(f"{name}_recurrent_kernel", init, (rows, gates * size))
        rate = self.config.weight_dropout
        return nn.Dropout(rate)(kernel, deterministic=False) if train and rate else kernel


def reverse(x: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """[T, B, …] with each row's first `lengths` [B] time steps in reverse order; the rest stays where it is."""
    if lengths is None:
        return x[::-1]
    time = jnp.arange(x.shape[0])[:, None]
    source = jnp.where(time < lengths[None], lengths[None] - 1 - time, time)
    return x[source, jnp.arange(x.shape[1])[None]]


def _last_states(states: States, lengths: jax.Array | None, before: States) -> States:
    """After the last unmasked position of each row; as before where a row holds padding only.

    Padding comes last, so the state before it is simply picked out: the scan itself need not know of the mask.
    """
    if lengths is None:
        return tuple(state[-1] for state in states)
    pick = by_batch(_state_after, axes=(1, 0, 0), out_axes=0)
    return tuple(pick(state, lengths, old) for state, old in zip(states, before, strict=True))


def _state_after(state: jax.Array, lengths: jax.Array, before: jax.Array) -> jax.Array:
    """[T, B, H], [B] and [B, H] to [B, H]."""
    last = state[lengths - 1, jnp.arange(lengths.shape[0])]
    return jnp.where(lengths[:, None] > 0, last, before)
