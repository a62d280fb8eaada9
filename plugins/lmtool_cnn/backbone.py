"""The convolutional backbone in Flax Linen.

References:
    Dauphin et al., "Language modeling with gated convolutional networks", 2017.
    Salimans & Kingma, "Weight normalization", 2016.
    Yu & Koltun, "Multi-scale context aggregation by dilated convolutions", 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import matmul
from lmtool_cnn.config import CNNConfig
from lmtool_cnn.convolution import gated_convolution

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Hidden, Key, Mask


class CNN(nn.Module):
    """Gated convolutions in residual blocks: [B, T, E] to [B, T, H].

    The carry holds, for each layer, the inputs just before the window, [B, (kernel_size - 1) * dilation, channels],
    zeros at the start: what a window's first positions see is then the same as within one long window. Without
    `causal` each position sees as many after it as before it, a window stands for itself, and the carry is empty.
    """

    config: CNNConfig

    @property
    def features(self) -> int:
        return self.config.channels

    @property
    def causal(self) -> bool:
        return self.config.causal

    def initial_carry(self, batch_size: int, input_size: int) -> tuple[jax.Array, ...]:
        if not self.causal:
            return ()
        contexts = (self.config.context(layer) for layer in range(self.config.num_layers))
        return tuple(jnp.zeros((batch_size, context, self.config.inner_channels)) for context in contexts)

    @nn.compact
    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        dtype = x.dtype
        if x.shape[-1] != self.features:
            x = InputProjection(self.features, name="input_projection")(x)
        x = x.astype(jnp.float32)  # the sum of all blocks, to which each adds a little
        last_carry = []
        skipped = x
        for layer in range(self.config.num_layers):
            if layer % self.config.block_size == 0:
                skipped = x
            if train and self.config.dropout:
                x = self._dropout(x)
            x, layer_carry = self._layer(layer, x, mask, carry, dtype)
            last_carry += layer_carry
            if (layer + 1) % self.config.block_size == 0 or layer + 1 == self.config.num_layers:
                x = (x + skipped) * 0.5**0.5  # keeps the variance as it was
        return x.astype(dtype), tuple(last_carry)

    def _layer(
        self, layer: int, x: Hidden, mask: Mask | None, carry: Any, dtype: Any
    ) -> tuple[Hidden, list[jax.Array]]:
        """A convolution over time; with a bottleneck, between one to fewer channels and one back to all."""
        name, inner = f"layer_{layer}", self.config.inner_channels
        if self.config.bottleneck:
            x = self._convolution(f"{name}_reduce", inner, dtype)(x)
        x, last_carry = self._with_context(layer, x, mask, carry)
        x = self._convolution(name, inner, dtype, self.config.kernel_size, self.config.dilation(layer))(x)
        if self.config.bottleneck:
            x = self._convolution(f"{name}_expand", self.features, dtype)(x)
        return x, last_carry

    def _convolution(
        self, name: str, features: int, dtype: Any, kernel_size: int = 1, dilation: int = 1
    ) -> GatedConvolution:
        return GatedConvolution(features, kernel_size, dilation, self.config.weight_norm, dtype, name=name)

    def _with_context(self, layer: int, x: Hidden, mask: Mask | None, carry: Any) -> tuple[jax.Array, list[jax.Array]]:
        """The layer's input with what a convolution sees beside it, and the carry for the next window."""
        context = self.config.context(layer)
        if self.causal:
            extended = jnp.concatenate([carry[layer], x], axis=1)
            return extended, [_last_context(extended, context, mask)]
        if mask is not None:
            x = jnp.where(mask[:, :, None], x, 0.0)  # as beyond the end of a row without padding
        after = (self.config.kernel_size - 1) // 2 * self.config.dilation(layer)
        return jnp.pad(x, ((0, 0), (context - after, after), (0, 0))), []

    def _dropout(self, x: Hidden) -> Hidden:
        shared = (1,) if self.config.locked_dropout else ()
        return nn.Dropout(self.config.dropout, broadcast_dims=shared)(x, deterministic=False)


class GatedConvolution(nn.Module):
    """[B, T + (kernel_size - 1) * dilation, I] to [B, T, features], no padding."""

    features: int
    kernel_size: int
    dilation: int
    weight_norm: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> Hidden:
        inputs, outputs = x.shape[-1], 2 * self.features
        kernel = self.param("kernel", _gated_init, (self.kernel_size * inputs, outputs))
        bias = self.param("bias", nn.initializers.zeros, (outputs,))
        if self.weight_norm:
            scale = self.param("scale", lambda key: _norm(kernel))  # starts as if there were no weight norm
            kernel = kernel * (scale / _norm(kernel))[None]
        kernel = kernel.reshape(self.kernel_size, inputs, outputs)
        return gated_convolution(x, kernel, bias, self.dilation, self.dtype)


class InputProjection(nn.Module):
    """[B, T, E], multiplied in its type, to float32 [B, T, features]; its parameters are those of `nn.Dense`."""

    features: int

    @nn.compact
    def __call__(self, x: Embedded) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        projected: jax.Array = matmul(x, kernel, jnp.float32) + bias[None, None]
        return projected


def _gated_init(key: Key, shape: tuple[int, ...]) -> jax.Array:
    """A gate halves its value at the start, so the variance is four times that of a plain layer."""
    standard = jax.random.normal(key, shape)
    scaled: jax.Array = standard * (4 / shape[0]) ** 0.5
    return scaled


def _norm(kernel: jax.Array) -> jax.Array:
    """The length of the weights of each output: [I, O] to [O]."""
    norm: jax.Array = jnp.linalg.norm(kernel, axis=0)
    return norm


def _last_context(extended: jax.Array, context: int, mask: Mask | None) -> jax.Array:
    """The last `context` inputs before the padding: [B, context, C] of [B, context + T, C]."""
    if mask is None:
        return extended[:, extended.shape[1] - context :]
    positions = mask.sum(axis=1)[:, None] + jnp.arange(context)[None]
    last: jax.Array = jnp.take_along_axis(extended, positions[:, :, None], axis=1)
    return last
