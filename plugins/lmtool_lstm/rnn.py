"""The plain recurrent backbone, with a gradient written by hand.

As in `cell.py`, the backward scan only gives the units' gradients; the recurrent kernel's is one matmul over all time
steps.

References:
    Elman, "Finding structure in time", 1990; Mikolov et al., "Recurrent neural network based language model", 2010.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.matmul import dot, few_rows_dtype, weight_gradient
from lmtool.sharding import by_batch
from lmtool_lstm.config import RNNConfig
from lmtool_lstm.stack import Stack

if TYPE_CHECKING:
    from lmtool_lstm.stack import States


class RNN(Stack):
    """Stacked plain recurrent network. A layer's state is (h,), [B, H]."""

    config: RNNConfig

    def state_sizes(self, size: int) -> tuple[int]:
        return (size,)

    def read(self, name: str, x: jax.Array, states: States, size: int, *, train: bool) -> States:
        projected = self.project(name, x, size, 1, nn.initializers.zeros)
        kernel = self.recurrent_kernel(name, size, size, 1, train=train)
        run = by_batch(partial(unroll, activation=self.config.activation), axes=(1, None, 0), out_axes=1)
        hs: jax.Array = run(projected, kernel, *states)
        return (hs,)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def unroll(projected: jax.Array, recurrent_kernel: jax.Array, h: jax.Array, activation: str) -> jax.Array:
    """Run a layer over a window.

    Args:
        projected: [T, B, H], the inputs times the input kernel plus the bias. Products are computed in its type where
            that is fastest.
        recurrent_kernel: [H, H], float32.
        h: [B, H] before the window, float32.
        activation: `tanh` or `relu`.

    Returns:
        hs, [T, B, H], float32.
    """
    kernel = recurrent_kernel.astype(few_rows_dtype(projected.dtype))
    function = jnp.tanh if activation == "tanh" else jax.nn.relu

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = function(x.astype(jnp.float32) + dot(h.astype(kernel.dtype), kernel))
        return h, h

    return jax.lax.scan(step, h, projected)[1]


def _forward(
    projected: jax.Array, recurrent_kernel: jax.Array, h: jax.Array, activation: str
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    hs = unroll(projected, recurrent_kernel, h, activation)
    return hs, (recurrent_kernel.astype(few_rows_dtype(projected.dtype)), h, hs, projected[:0])


def _backward(activation: str, residuals: tuple[jax.Array, ...], d_hs: jax.Array) -> tuple[jax.Array, ...]:
    kernel, h, hs, nothing = residuals  # the last for its type
    dtype = nothing.dtype
    slopes = 1 - hs**2 if activation == "tanh" else (hs > 0).astype(jnp.float32)

    def step(dh: jax.Array, at_t: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        dh_t, slope = at_t
        d_sums = (dh + dh_t) * slope
        return dot(d_sums.astype(kernel.dtype), kernel, transpose_b=True), d_sums

    dh, d_sums = jax.lax.scan(step, jnp.zeros_like(h), (d_hs, slopes), reverse=True)
    d_sums = d_sums.astype(dtype)  # after the scan: see `cell.py`
    hs_before = jnp.concatenate([h[None], hs[:-1]]).astype(dtype)
    return d_sums, weight_gradient(hs_before, d_sums), dh


unroll.defvjp(_forward, _backward)
