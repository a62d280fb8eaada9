"""Convolutions of several widths side by side, as a backbone for classifiers.

References:
    Kim, "Convolutional neural networks for sentence classification", 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool_cnn.config import TextCNNConfig
from lmtool_cnn.convolution import rectified_convolution

if TYPE_CHECKING:
    from lmtool.array_types import Embedded, Hidden, Mask


class TextCNN(nn.Module):
    """[B, T, E] to [B, T, widths * F]: each position from those around it, through a rectifier.

    It is an encoder: there is no carry, and a window stands for itself.
    """

    config: TextCNNConfig

    @property
    def features(self) -> int:
        return len(self.config.widths) * self.config.channels

    @property
    def causal(self) -> bool:
        return False

    def initial_carry(self, batch_size: int, input_size: int) -> tuple[()]:
        return ()

    @nn.compact
    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        dtype, widest = x.dtype, max(self.config.widths)
        x = x.astype(jnp.float32)
        if mask is not None:
            x = jnp.where(mask[:, :, None], x, 0.0)  # as beyond the end of a row without padding
        x = jnp.pad(x, ((0, 0), _around(widest), (0, 0)))
        kernels = [self._kernel(number, width, x.shape[-1]) for number, width in enumerate(self.config.widths)]
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        # One product, in which narrow kernels have zeros at both ends: that costs a fourth more than widths 3, 4 and 5
        # need, and saves two times putting the inputs side by side.
        h = rectified_convolution(x, jnp.concatenate(kernels, axis=2), bias, dtype)
        return h.astype(dtype), ()

    def _kernel(self, number: int, width: int, inputs: int) -> jax.Array:
        """[widest, E, F]. Its parameter is [width * E, F]."""
        shape = width * inputs, self.config.channels
        kernel = self.param(f"kernel_{number}", nn.initializers.he_normal(), shape).reshape(width, inputs, -1)
        (before, after), (most_before, most_after) = _around(width), _around(max(self.config.widths))
        padded: jax.Array = jnp.pad(kernel, ((most_before - before, most_after - after), (0, 0), (0, 0)))
        return padded


def _around(width: int) -> tuple[int, int]:
    """Positions before and after its own that an output sees."""
    return width - 1 - (width - 1) // 2, (width - 1) // 2


__all__ = ["TextCNN"]
