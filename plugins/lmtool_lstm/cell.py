"""One LSTM layer over time, with a gradient written by hand.

Automatic differentiation of the scan adds up the recurrent kernel's gradient time step by time step, [H, 4H] read and
written T times. Here the backward scan only gives the gates' gradients; the kernel's is then one matmul over all
time steps.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp

States: TypeAlias = tuple[jax.Array, jax.Array]


@jax.custom_vjp
def unroll(projected: jax.Array, recurrent_kernel: jax.Array, c: jax.Array, h: jax.Array) -> States:
    """Run a layer over a window.

    Args:
        projected: [T, B, 4H], the inputs times the input kernel plus the bias; gates input, forget, cell, output.
        recurrent_kernel: [H, 4H].
        c: [B, H] before the window.
        h: [B, H] before the window.

    Returns:
        hs and cs, [T, B, H] each.
    """

    def step(state: States, gates: jax.Array) -> tuple[States, States]:
        c, h, _ = _cell(*state, gates, recurrent_kernel)
        return (c, h), (h, c)

    _, (hs, cs) = jax.lax.scan(step, (c, h), projected)
    return hs, cs


def _cell(c: jax.Array, h: jax.Array, gates: jax.Array, recurrent_kernel: jax.Array) -> tuple[jax.Array, ...]:
    """(c, h) one step later, and the activations that the backward pass needs: i, f, g, o side by side."""
    i, f, g, o = jnp.split(gates + h @ recurrent_kernel, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    return c, o * jnp.tanh(c), jnp.concatenate([i, f, g, o], axis=-1)


def _forward(
    projected: jax.Array, recurrent_kernel: jax.Array, c: jax.Array, h: jax.Array
) -> tuple[States, tuple[jax.Array, ...]]:
    def step(state: States, gates: jax.Array) -> tuple[States, tuple[jax.Array, ...]]:
        c, h, activations = _cell(*state, gates, recurrent_kernel)
        return (c, h), (h, c, activations)

    _, (hs, cs, activations) = jax.lax.scan(step, (c, h), projected)
    return (hs, cs), (recurrent_kernel, c, h, hs, cs, activations)


def _backward(residuals: tuple[jax.Array, ...], gradients: States) -> tuple[jax.Array, ...]:
    recurrent_kernel, c, h, hs, cs, activations = residuals
    cs_before = jnp.concatenate([c[None], cs[:-1]])
    hs_before = jnp.concatenate([h[None], hs[:-1]])

    def step(state: States, at_t: tuple[jax.Array, ...]) -> tuple[States, jax.Array]:
        dc, dh = state
        dh_t, dc_t, c, c_before, activations = at_t
        i, f, g, o = jnp.split(activations, 4, axis=-1)
        tanh_c = jnp.tanh(c)
        dh = dh + dh_t
        dc = dc + dc_t + dh * o * (1 - tanh_c**2)
        d_i, d_f, d_g = dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g**2)
        d_gates = jnp.concatenate([d_i, d_f, d_g, dh * tanh_c * o * (1 - o)], axis=-1)
        return (dc * f, d_gates @ recurrent_kernel.T), d_gates

    d_hs, d_cs = gradients
    start = (jnp.zeros_like(c), jnp.zeros_like(h))
    (dc, dh), d_gates = jax.lax.scan(step, start, (d_hs, d_cs, cs, cs_before, activations), reverse=True)
    return d_gates, jnp.einsum("tbh,tbg->hg", hs_before, d_gates), dc, dh


unroll.defvjp(_forward, _backward)
