"""Products with weights, in the precision of what they are applied to.

Weights are kept in float32. Under `training.precision = "bfloat16"` activations are bfloat16, and a product rounds the
weights to that, adds up in float32 and gives the weights' gradient in float32, as mixed-precision training does
(Micikevicius et al., "Mixed precision training", 2018; bfloat16 needs no loss scaling: Kalamkar et al. 2019).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


def matmul(x: jax.Array, kernel: jax.Array, dtype: Any = None, *, transpose: bool = False) -> jax.Array:
    """`x @ kernel` in x's type, added up in float32.

    Args:
        x: [..., I], float32 or bfloat16.
        kernel: [I, O], or [O, I] with `transpose`, float32; rounded to x's type.
        dtype: Of the result; x's type if left out.
        transpose: Multiply by `kernel.T`, without making it.

    Returns:
        [..., O].
    """
    rows = x.reshape(-1, x.shape[-1])
    product: jax.Array = _matmul(rows, kernel, jnp.dtype(dtype or x.dtype).name, transpose)
    return product.reshape(*x.shape[:-1], product.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _matmul(x: jax.Array, kernel: jax.Array, dtype: str, transpose: bool) -> jax.Array:
    """[N, I] and [I, O] (or [O, I]) to [N, O]."""
    return dot(x, kernel.astype(x.dtype), transpose_b=transpose).astype(dtype)


def _forward(
    x: jax.Array, kernel: jax.Array, dtype: str, transpose: bool
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _matmul(x, kernel, dtype, transpose), (x, kernel)


def _backward(
    dtype: str, transpose: bool, residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    gradient = gradient.astype(x.dtype)
    d_x = dot(gradient, kernel.astype(x.dtype), transpose_b=not transpose).astype(x.dtype)
    d_kernel = weight_gradient(gradient, x) if transpose else weight_gradient(x, gradient)
    # A caller who passed a transposed kernel will transpose the gradient: XLA would fold that into a product that its
    # CPU compiler does not know.
    kept: jax.Array = jax.lax.optimization_barrier(d_kernel)  # type: ignore[no-untyped-call]
    return d_x, kept


_matmul.defvjp(_forward, _backward)


def dot(a: jax.Array, b: jax.Array, *, transpose_b: bool = False) -> jax.Array:
    """[M, K] times [K, N], float32: added up and kept in float32 whatever the operands' type.

    Args:
        a: [M, K].
        b: [K, N], or [N, K] with `transpose_b`: `b.T` would be multiplied as float32 (see `transposed`).
        transpose_b: Multiply by `b.T`.
    """
    dimensions = (((1,), (1 if transpose_b else 0,)), ((), ()))
    product: jax.Array = jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)
    return product


def weight_gradient(x: jax.Array, gradient: jax.Array) -> jax.Array:
    """The gradient [I, O] of a kernel, float32, from its inputs [..., I] and its outputs' gradient [..., O]."""
    rows, d_rows = (array.reshape(-1, array.shape[-1]) for array in (x, gradient))
    return dot(transposed(rows), d_rows)


def transposed(x: jax.Array) -> jax.Array:
    """`x.T` as the left factor of a product.

    XLA's CPU compiler folds a transposition into the product, and then multiplies bfloat16 as float32, half as fast.
    It does not see through a concatenation: so the transposed matrix is made of two halves, and lies in memory.
    """
    if x.dtype == jnp.float32 or x.shape[1] < 2 or jax.default_backend() != "cpu":
        return x.T
    half = x.shape[1] // 2
    return jnp.concatenate([x[:, :half].T, x[:, half:].T])


def few_rows_dtype(dtype: Any) -> Any:
    """The operands' type for products with a few dozen rows, as a recurrent network has them at each time step.

    A CPU spends them on reading the weights: there XLA is faster in float32 than in bfloat16 (160 against 120 GFLOP/s
    for [20, 650] times [650, 2600] on two Zen 4 cores).
    """
    return jnp.float32 if jax.default_backend() == "cpu" else dtype


__all__ = ["dot", "few_rows_dtype", "matmul", "transposed", "weight_gradient"]
