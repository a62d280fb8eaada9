"""One LSTM layer over time."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def unroll(
    projected: jax.Array, recurrent_kernel: jax.Array, c: jax.Array, h: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Run a layer over a window.

    Args:
        projected: [T, B, 4H], the inputs times the input kernel plus the bias; gates input, forget, cell, output.
        recurrent_kernel: [H, 4H].
        c: [B, H] before the window.
        h: [B, H] before the window.

    Returns:
        hs and cs, [T, B, H] each.
    """

    def step(
        state: tuple[jax.Array, jax.Array], gates: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        c, h = state
        i, f, g, o = jnp.split(gates + h @ recurrent_kernel, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), (h, c)

    _, (hs, cs) = jax.lax.scan(step, (c, h), projected)
    return hs, cs
