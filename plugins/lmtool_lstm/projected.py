"""One LSTM layer with a recurrent projection over time, with a gradient written by hand.

What is fed back and handed on is not the output m [B, H] of the gates but its projection h = m @ projection_kernel,
[B, P]: the recurrent kernel is then [P, 4H], and a large H costs little. As in `cell.py`, the backward scan only gives
gradients of what each step computes; the kernels' are one matmul each over all time steps.

References:
    Sak et al., "Long short-term memory recurrent neural network architectures for large scale acoustic modeling", 2014.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from lmtool.matmul import dot, few_rows_dtype, weight_gradient

States: TypeAlias = tuple[jax.Array, jax.Array]


@jax.custom_vjp
def unroll(
    projected: jax.Array, recurrent_kernel: jax.Array, projection_kernel: jax.Array, c: jax.Array, h: jax.Array
) -> States:
    """Run a layer over a window.

    Args:
        projected: [T, B, 4H], the inputs times the input kernel plus the bias; gates input, forget, cell, output.
            Products are computed in its type where that is fastest.
        recurrent_kernel: [P, 4H], float32.
        projection_kernel: [H, P], float32.
        c: [B, H] before the window, float32.
        h: [B, P] before the window, float32.

    Returns:
        hs, [T, B, P], and cs, [T, B, H], float32.
    """
    return _forward(projected, recurrent_kernel, projection_kernel, c, h)[0]


def _forward(
    projected: jax.Array, recurrent_kernel: jax.Array, projection_kernel: jax.Array, c: jax.Array, h: jax.Array
) -> tuple[States, tuple[jax.Array, ...]]:
    dtype = few_rows_dtype(projected.dtype)
    kernels = recurrent_kernel.astype(dtype), projection_kernel.astype(dtype)

    def step(state: States, gates: jax.Array) -> tuple[States, Any]:
        c, h, activations = _cell(*state, gates, *kernels)
        return (c, h), (h, c, activations)

    _, (hs, cs, activations) = jax.lax.scan(step, (c, h), projected)
    return (hs, cs), (*kernels, c, h, hs, cs, activations.astype(projected.dtype))


def _cell(
    c: jax.Array, h: jax.Array, gates: jax.Array, recurrent_kernel: jax.Array, projection_kernel: jax.Array
) -> tuple[jax.Array, ...]:
    """(c, h) one step later, and the activations that the backward pass needs: i, f, g, o side by side."""
    gates = gates.astype(jnp.float32) + dot(h.astype(recurrent_kernel.dtype), recurrent_kernel)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    m = (o * jnp.tanh(c)).astype(projection_kernel.dtype)
    return c, dot(m, projection_kernel), jnp.concatenate([i, f, g, o], axis=-1)


def _backward(residuals: tuple[jax.Array, ...], gradients: States) -> tuple[jax.Array, ...]:
    recurrent_kernel, projection_kernel, c, h, hs, cs, activations = residuals
    dtype, narrow = recurrent_kernel.dtype, activations.dtype
    cs_before = jnp.concatenate([c[None], cs[:-1]])

    def step(state: States, at_t: tuple[jax.Array, ...]) -> tuple[States, Any]:
        dc, dh = state
        dh_t, dc_t, c, c_before, activations = at_t
        i, f, g, o = jnp.split(activations.astype(jnp.float32), 4, axis=-1)
        tanh_c = jnp.tanh(c)
        dh = (dh + dh_t).astype(dtype)
        dm = dot(dh, projection_kernel, transpose_b=True)
        dc = dc + dc_t + dm * o * (1 - tanh_c**2)
        d_i, d_f, d_g = dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g**2)
        d_gates = jnp.concatenate([d_i, d_f, d_g, dm * tanh_c * o * (1 - o)], axis=-1)
        before = dc * f, dot(d_gates.astype(dtype), recurrent_kernel, transpose_b=True)
        return before, (d_gates, dh.astype(jnp.float32), o * tanh_c)

    start = (jnp.zeros_like(c), jnp.zeros_like(h))
    (dc, dh), (d_gates, d_hs, ms) = jax.lax.scan(step, start, (*gradients, cs, cs_before, activations), reverse=True)
    d_gates, d_hs, ms = (stacked.astype(narrow) for stacked in (d_gates, d_hs, ms))
    hs_before = jnp.concatenate([h[None], hs[:-1]]).astype(narrow)
    d_recurrent = weight_gradient(hs_before, d_gates)
    return d_gates, d_recurrent, weight_gradient(ms, d_hs), dc, dh


unroll.defvjp(_forward, _backward)
