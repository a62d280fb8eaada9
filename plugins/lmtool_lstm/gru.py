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

from lmtool.matmul import dot, few_rows_dtype, weight_gradient
from lmtool.sharding import by_batch
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
        hs: jax.Array = by_batch(unroll, axes=(1, None, None, 0), out_axes=1)(projected, kernel, bias, *states)
        return (hs,)


@jax.custom_vjp
def unroll(projected: jax.Array, recurrent_kernel: jax.Array, bias: jax.Array, h: jax.Array) -> jax.Array:
    """Run a layer over a window.

    Args:
        projected: [T, B, 3H], the inputs times the input kernel plus the bias; gates reset, update, new. Products are
            computed in its type where that is fastest.
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
    kernel = recurrent_kernel.astype(few_rows_dtype(projected.dtype))

    def step(h: jax.Array, gates: jax.Array) -> tuple[jax.Array, Any]:
        h, activations = _cell(h, gates, kernel, bias)
        return h, (h, activations)

    _, (hs, activations) = jax.lax.scan(step, h, projected)
    return hs, (kernel, h, hs, activations.astype(projected.dtype))  # rounded after the scan: see `cell.py`


def _cell(h: jax.Array, gates: jax.Array, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
    """h one step later, and what the backward pass needs: r, z, n and what r was applied to, side by side."""
    size = h.shape[-1]
    products, gates = dot(h.astype(kernel.dtype), kernel), gates.astype(jnp.float32)
    # The logistic function as in `cell.py`.
    both = jnp.tanh((gates[:, : 2 * size] + products[:, : 2 * size]) * 0.5) * 0.5 + 0.5
    r, z = jnp.split(both, 2, axis=-1)
    h_n = products[:, 2 * size :] + bias[None]
    n = jnp.tanh(gates[:, 2 * size :] + r * h_n)
    return (1 - z) * n + z * h, jnp.concatenate([both, n, h_n], axis=-1)


def _backward(residuals: tuple[jax.Array, ...], d_hs: jax.Array) -> tuple[jax.Array, ...]:
    kernel, h, hs, activations = residuals
    size, dtype = h.shape[-1], activations.dtype
    hs_before = jnp.concatenate([h[None], hs[:-1]])

    def step(dh: jax.Array, at_t: tuple[jax.Array, ...]) -> tuple[jax.Array, Any]:
        dh_t, h_before, activations = at_t
        r, z, n, h_n = jnp.split(activations.astype(jnp.float32), 4, axis=-1)
        dh = dh + dh_t
        d_n = dh * (1 - z) * (1 - n**2)
        d_r = d_n * h_n * r * (1 - r)
        d_z = dh * (h_before - n) * z * (1 - z)
        d_products = jnp.concatenate([d_r, d_z, d_n * r], axis=-1)
        dh = dh * z + dot(d_products.astype(kernel.dtype), kernel, transpose_b=True)
        return dh, (d_products, d_n)

    dh, (d_products, d_n) = jax.lax.scan(step, jnp.zeros_like(h), (d_hs, hs_before, activations), reverse=True)
    d_products, d_n = d_products.astype(dtype), d_n.astype(dtype)
    d_projected = d_products.at[:, :, 2 * size :].set(d_n)
    d_kernel = weight_gradient(hs_before.astype(dtype), d_products)
    d_bias = jnp.sum(d_products[:, :, 2 * size :], axis=(0, 1), dtype=jnp.float32)
    return d_projected, d_kernel, d_bias, dh


unroll.defvjp(_forward, _backward)
