"""The LSTM backbone in Flax Linen.

References:
    Hochreiter & Schmidhuber, "Long short-term memory", 1997.
    Gers et al., "Learning to forget", 2000 (forget gate; its bias starts at 1: Jozefowicz et al. 2015).
    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool_lstm.cell import unroll
from lmtool_lstm.config import LSTMConfig

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Hidden, Key, Mask


class LSTM(nn.Module):
    """Stacked LSTM: [B, T, E] to [B, T, H]. The carry is one (c, h) a layer, [B, H] each, from the input up."""

    config: LSTMConfig

    @property
    def features(self) -> int:
        return self.config.sizes[-1]

    def initial_carry(self, batch_size: int, input_size: int) -> tuple[tuple[jax.Array, jax.Array], ...]:
        return tuple((jnp.zeros((batch_size, size)), jnp.zeros((batch_size, size))) for size in self.config.sizes)

    @nn.compact
    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        last_carry = []
        for layer, size in enumerate(self.config.sizes):
            if layer and train and self.config.dropout:
                x = self._dropout(x)
            x, layer_carry = self._layer(f"layer_{layer}", x, mask, carry[layer], size)
            last_carry.append(layer_carry)
        return x, tuple(last_carry)

    def _layer(self, name: str, x: Embedded, mask: Mask | None, carry: Any, size: int) -> tuple[Hidden, Any]:
        """One layer. Its gates stand side by side in the order input, forget, cell, output."""
        input_kernel = self.param(f"{name}_input_kernel", _uniform(size), (x.shape[-1], 4 * size))
        recurrent_kernel = self.param(f"{name}_recurrent_kernel", _uniform(size), (size, 4 * size))
        bias = self.param(f"{name}_bias", self._bias_init, (4 * size,))
        # One matmul for all time steps: only h @ recurrent_kernel must wait for the step before.
        projected = jnp.einsum("bte,eg->tbg", x, input_kernel) + bias[None, None]
        hs, cs = unroll(projected, recurrent_kernel, *carry)
        return hs.swapaxes(0, 1), _last_state(cs, hs, mask, carry)

    def _bias_init(self, key: Key, shape: tuple[int, ...]) -> jax.Array:
        return jnp.zeros(shape).reshape(4, -1).at[1].set(self.config.forget_bias).reshape(shape)

    def _dropout(self, x: Hidden) -> Hidden:
        shared = (1,) if self.config.locked_dropout else ()
        return nn.Dropout(self.config.dropout, broadcast_dims=shared)(x, deterministic=False)


def _uniform(size: int) -> nn.initializers.Initializer:
    """Uniform in ±1/sqrt(H)."""
    bound = size**-0.5

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _last_state(cs: jax.Array, hs: jax.Array, mask: Mask | None, carry: Any) -> tuple[jax.Array, jax.Array]:
    """(c, h) after the last unmasked position of each row; the old carry where a row holds padding only.

    Padding comes last, so the state before it is simply picked out: the scan itself need not know of the mask.
    """
    if mask is None:
        return cs[-1], hs[-1]
    length = mask.sum(axis=1)
    rows = jnp.arange(mask.shape[0])

    def pick(states: jax.Array, before: jax.Array) -> jax.Array:
        return jnp.where(length[:, None] > 0, states[length - 1, rows], before)

    return pick(cs, carry[0]), pick(hs, carry[1])
