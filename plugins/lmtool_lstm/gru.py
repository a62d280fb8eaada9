"""The GRU backbone, with a gradient written by hand.

As in `cell.py`, the backward scan only gives the gates' gradients; the recurrent kernel's is one matmul over all time
steps.

References:
    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014. As in cuDNN and PyTorch the reset
    gate is applied after the product with the recurrent kernel, so that one product serves all gates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import dot, weight_gradient
from lmtool_lstm.config import GRUConfig
from lmtool_lstm.stack import Stack

if TYPE_CHECKING:
    from lmtool_lstm.stack import States


class GRU(Stack):
    """Stacked GRU. A layer's state is (h,), [B, H]; gates stand side by side in the order reset, update, new."""

    config: GRUConfig

    def state_sizes(self, size: int) -> tuple[int]:
        return (size,)

    def read(self, name: str, x: jax.Array, states: States, size: int, *, train: bool) -> States:
        projected = self.project(name, x, size, 3, nn.initializers.zeros)
        kernel = self.recurrent_kernel(name, size, size, 3, train=train)
        bias = self.param(f"{name}_recurrent_bias", nn.initializers.zeros, (size,))
        hs: jax.Array = unroll(projected, kernel, bias, *states)
        return (hs,)


@jax.custom_vjp
def unroll(projected: jax.Array, recurrent_kernel: jax.Array, bias: jax.Array, h: jax.Array) -> jax.Array:
    """Run a layer over a window.

    Args:
        projected: [T, B, 3H], the inputs times the input kernel plus the bias; gates reset, update, new. Products are
            computed in its type.
        recurrent_kernel: [H, 3H], float32.
        bias: [H], float32: added to the new state's product before the reset gate.
        h: [B, H] before the window, float32.

    Returns:
        hs, [T, B, H], float32.
    """
    return _forward(projected, recurrent_kernel, bias, h)[0]


def _forward(
    projected: jax.Array, recurrent_kernel: jax.Array, bias: jax.Array, h: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    kernel = recurrent_kernel.astype(projected.dtype)

    def step(h: jax.Array, gates: jax.Array) -> tuple[jax.Array, Any]:
        h, activations = _cell(h, gates, kernel, bias)
        return h, (h, activations.astype(gates.dtype))

    _, (hs, activations) = jax.lax.scan(step, h, projected)
    return hs, (kernel, h, hs, activations)


def _cell(h: jax.Array, gates: jax.Array, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
    """h one step later, and what the backward pass needs: r, z, n and what r was applied to, side by side."""
    x_r, x_z, x_n = jnp.split(gates.astype(jnp.float32), 3, axis=-1)
    h_r, h_z, h_n = jnp.split(dot(h.astype(kernel.dtype), kernel), 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h_n = h_n + bias[None]
    n = jnp.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h, jnp.concatenate([r, z, n, h_n], axis=-1)


def _backward(residuals: tuple[jax.Array, ...], d_hs: jax.Array) -> tuple[jax.Array, ...]:
    kernel, h, hs, activations = residuals
    hs_before = jnp.concatenate([h[None], hs[:-1]])

    def step(dh: jax.Array, at_t: tuple[jax.Array, ...]) -> tuple[jax.Array, Any]:
        dh_t, h_before, activations = at_t
        r, z, n, h_n = jnp.split(activations.astype(jnp.float32), 4, axis=-1)
        dh = dh + dh_t
        d_n = dh * (1 - z) * (1 - n**2)
        d_r = d_n * h_n * r * (1 - r)
        d_z = dh * (h_before - n) * z * (1 - z)
        d_products = jnp.concatenate([d_r, d_z, d_n * r], axis=-1).astype(kernel.dtype)
        return dh * z + dot(d_products, kernel.T), (d_products, d_n.astype(kernel.dtype))

    dh, (d_products, d_n) = jax.lax.scan(step, jnp.zeros_like(h), (d_hs, hs_before, activations), reverse=True)
    d_projected = d_products.at[:, :, -h.shape[-1] :].set(d_n)
    d_kernel = weight_gradient(_rows(hs_before).astype(kernel.dtype), _rows(d_products))
    d_bias = jnp.sum(d_products[:, :, -h.shape[-1] :], axis=(0, 1), dtype=jnp.float32)
    return d_projected, d_kernel, d_bias, dh


def _rows(x: jax.Array) -> jax.Array:
    """[T, B, H] to [T * B, H]."""
    return x.reshape(-1, x.shape[-1])


unroll.defvjp(_forward, _backward)
