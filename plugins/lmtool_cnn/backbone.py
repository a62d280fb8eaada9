"""The convolutional backbone in Flax Linen.

References:
    Dauphin et al., "Language modeling with gated convolutional networks", 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool_cnn.config import CNNConfig

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Hidden, Mask


class CNN(nn.Module):
    """Gated causal convolutions: [B, T, E] to [B, T, H].

    The carry holds, for each layer, the inputs just before the window, [B, (kernel_size - 1) * dilation, channels],
    zeros at the start: what a window's first positions see is then the same as within one long window.
    """

    config: CNNConfig

    @property
    def features(self) -> int:
        return self.config.channels

    def initial_carry(self, batch_size: int, input_size: int) -> tuple[jax.Array, ...]:
        contexts = (self.config.context(layer) for layer in range(self.config.num_layers))
        return tuple(jnp.zeros((batch_size, context, self.features)) for context in contexts)

    @nn.compact
    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, name="input_projection")(x)
        last_carry = []
        skipped = x
        for layer in range(self.config.num_layers):
            if layer % self.config.block_size == 0:
                skipped = x
            if train and self.config.dropout:
                x = self._dropout(x)
            x, layer_carry = self._convolution(layer, x, mask, carry[layer])
            last_carry.append(layer_carry)
            if (layer + 1) % self.config.block_size == 0 or layer + 1 == self.config.num_layers:
                x = (x + skipped) * 0.5**0.5  # keeps the variance as it was
        return x, tuple(last_carry)

    def _convolution(self, layer: int, x: Hidden, mask: Mask | None, before: jax.Array) -> tuple[Hidden, jax.Array]:
        """One causal convolution with a gated linear unit."""
        extended = jnp.concatenate([before, x], axis=1)
        starts = [k * self.config.dilation(layer) for k in range(self.config.kernel_size)]
        # The shifted copies side by side make the convolution one matmul, faster than `lax.conv` on CPU.
        columns = jnp.concatenate([extended[:, start : start + x.shape[1]] for start in starts], axis=-1)
        both = nn.Dense(2 * self.features, name=f"layer_{layer}", kernel_init=_gated_init)(columns)
        values, gates = jnp.split(both, 2, axis=-1)
        return values * jax.nn.sigmoid(gates), _last_context(extended, before.shape[1], mask)

    def _dropout(self, x: Hidden) -> Hidden:
        shared = (1,) if self.config.locked_dropout else ()
        return nn.Dropout(self.config.dropout, broadcast_dims=shared)(x, deterministic=False)


# A gate halves its value at the start, so the variance is four times that of a plain layer.
_gated_init = nn.initializers.variance_scaling(4.0, "fan_in", "normal")


def _last_context(extended: jax.Array, context: int, mask: Mask | None) -> jax.Array:
    """The last `context` inputs before the padding: [B, context, C] of [B, context + T, C]."""
    if mask is None:
        return extended[:, extended.shape[1] - context :]
    positions = mask.sum(axis=1)[:, None] + jnp.arange(context)[None]
    last: jax.Array = jnp.take_along_axis(extended, positions[:, :, None], axis=1)
    return last
