"""Convolutions over time, gated or rectified, with gradients written by hand.

On CPU a convolution is fastest as one product of large matrices: the inputs of all kernel positions side by side. What
is kept for the backward pass are the inputs themselves and the outputs (before the gate); the side-by-side copies are
made again. Elsewhere it is XLA's own convolution.

Products take their factors in `dtype` and add up in float32. All that is not a product is float32 in either precision:
it costs no more on CPU, where XLA has bfloat16 products but no other bfloat16 arithmetic.

References:
    Dauphin et al., "Language modeling with gated convolutional networks", 2017.
    Chellapilla et al., "High performance convolutional neural networks for document processing", 2006.
"""

from __future__ import annotations

import functools
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from lmtool.matmul import dot, weight_gradient

Residuals: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def gated_convolution(x: jax.Array, kernel: jax.Array, bias: jax.Array, dilation: int, dtype: Any) -> jax.Array:
    """Convolve and gate: output t is made of the inputs t, t + dilation, …, t + (k - 1) dilation.

    Args:
        x: [B, T + (k - 1) dilation, I], float32.
        kernel: [k, I, 2O], float32; along the last axis O values, then their gates.
        bias: [2O].
        dilation: Steps between the inputs of one output.
        dtype: Of the factors of products: float32 or bfloat16.

    Returns:
        [B, T, O], float32: values * sigmoid(gates).
    """
    return _forward(x, kernel, bias, dilation, dtype)[0]


def _forward(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, dilation: int, dtype: Any
) -> tuple[jax.Array, Residuals]:
    x, rounded = x.astype(dtype), kernel.astype(dtype)
    both = _on_platform(convolve_by_matmul, convolve_by_xla, dilation)(x, rounded) + bias[None, None]
    values, gates = jnp.split(both, 2, axis=-1)
    return values * jax.nn.sigmoid(gates), (x, kernel, both)


def _backward(dilation: int, dtype: Any, residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array, ...]:
    x, kernel, both = residuals
    values, gates = jnp.split(both, 2, axis=-1)
    opened = jax.nn.sigmoid(gates)
    d_values = gradient * opened
    d_both = jnp.concatenate([d_values, d_values * values * (1 - opened)], axis=-1)
    gradients = _on_platform(gradients_by_matmul, gradients_by_xla, dilation)
    d_x, d_kernel = gradients(x, kernel.astype(dtype), d_both.astype(dtype))
    return d_x, d_kernel, d_both.sum(axis=(0, 1))


gated_convolution.defvjp(_forward, _backward)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def rectified_convolution(x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: Any) -> jax.Array:
    """Convolve and rectify: output t is made of the inputs t to t + k - 1.

    Args:
        x: [B, T + k - 1, I], float32.
        kernel: [k, I, O], float32.
        bias: [O].
        dtype: Of the factors of products: float32 or bfloat16.

    Returns:
        [B, T, O], float32, nowhere negative.
    """
    return _forward_rectified(x, kernel, bias, dtype)[0]


def _forward_rectified(x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: Any) -> tuple[jax.Array, Residuals]:
    x = x.astype(dtype)
    convolved = _on_platform(convolve_by_matmul, convolve_by_xla, 1)(x, kernel.astype(dtype))
    rectified = jax.nn.relu(convolved + bias[None, None])
    return rectified, (x, kernel, rectified)


def _backward_rectified(dtype: Any, residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array, ...]:
    x, kernel, rectified = residuals
    gradient = jnp.where(rectified > 0, gradient, 0.0)
    gradients = _on_platform(gradients_by_matmul, gradients_by_xla, 1)
    d_x, d_kernel = gradients(x, kernel.astype(dtype), gradient.astype(dtype))
    return d_x, d_kernel, gradient.sum(axis=(0, 1))


rectified_convolution.defvjp(_forward_rectified, _backward_rectified)


def _on_platform(on_cpu: Any, elsewhere: Any, dilation: int) -> Any:
    def apply(*arrays: jax.Array) -> Any:
        return jax.lax.platform_dependent(
            *arrays, cpu=partial(on_cpu, dilation=dilation), default=partial(elsewhere, dilation=dilation)
        )

    return apply


def convolve_by_matmul(x: jax.Array, kernel: jax.Array, *, dilation: int) -> jax.Array:
    """[B, T + (k - 1) dilation, I] and [k, I, O] to [B, T, O], float32, as one product."""
    size, inputs, outputs = kernel.shape
    shifted = _shifted(x, size, dilation)
    time = shifted[0].shape[1]
    columns = _concatenate(shifted, axis=-1).reshape(-1, size * inputs)
    return dot(columns, kernel.reshape(size * inputs, outputs)).reshape(x.shape[0], time, outputs)


def gradients_by_matmul(
    x: jax.Array, kernel: jax.Array, gradient: jax.Array, *, dilation: int
) -> tuple[jax.Array, jax.Array]:
    """The gradients of x and of the kernel, float32, from that of `convolve_by_matmul`'s result, [B, T, O]."""
    rows = gradient.reshape(-1, gradient.shape[-1])
    return _input_gradient(kernel, gradient, rows, dilation), _kernel_gradient(x, kernel, rows, dilation)


def _input_gradient(kernel: jax.Array, gradient: jax.Array, rows: jax.Array, dilation: int) -> jax.Array:
    """Each output's gradient goes to the k inputs that it was made of."""
    size, inputs, outputs = kernel.shape
    flat = kernel.reshape(size * inputs, outputs)
    transposed = flat.T
    if kernel.dtype != jnp.float32:
        # XLA multiplies bfloat16 on CPU twice as fast by a factor transposed in memory. Putting parts together is what
        # it cannot read as a transposition and leave to the product.
        transposed = _concatenate([part.T for part in jnp.split(flat, [size * inputs // 2])], axis=-1)
    columns = dot(rows, transposed).reshape(*gradient.shape[:2], size, inputs)
    around = [(k * dilation, (size - 1 - k) * dilation, 0) for k in range(size)]
    shifted = (jax.lax.pad(columns[:, :, k], jnp.float32(0), [(0, 0, 0), around[k], (0, 0, 0)]) for k in range(size))
    return functools.reduce(jnp.add, shifted)


def _kernel_gradient(x: jax.Array, kernel: jax.Array, rows: jax.Array, dilation: int) -> jax.Array:
    """[k, I, O]. The shifted inputs are put together transposed, with time in rows."""
    size, inputs, outputs = kernel.shape
    if size == 1:
        return weight_gradient(x.reshape(-1, inputs), rows)[None]
    parts = [part.transpose(2, 0, 1) for part in _shifted(x, size, dilation)]
    columns = _concatenate(parts, axis=0).reshape(size * inputs, -1)
    return dot(columns, rows).reshape(size, inputs, outputs)


def _shifted(x: jax.Array, size: int, dilation: int) -> list[jax.Array]:
    """What each kernel position sees: k views [B, T, I] of [B, T + (k - 1) dilation, I]."""
    time = x.shape[1] - (size - 1) * dilation
    return [x[:, k * dilation : k * dilation + time] for k in range(size)]


def _concatenate(parts: list[jax.Array], axis: int) -> jax.Array:
    """XLA on CPU moves bfloat16 by way of float32, integers as they are."""
    if parts[0].dtype != jnp.bfloat16:
        return jnp.concatenate(parts, axis)
    whole = jnp.concatenate([jax.lax.bitcast_convert_type(part, jnp.uint16) for part in parts], axis)
    return jax.lax.bitcast_convert_type(whole, jnp.bfloat16)


def convolve_by_xla(x: jax.Array, kernel: jax.Array, *, dilation: int) -> jax.Array:
    """As `convolve_by_matmul`."""
    return _xla_convolution(x, kernel, ("NWC", "WIO", "NWC"), rhs_dilation=(dilation,))


def gradients_by_xla(
    x: jax.Array, kernel: jax.Array, gradient: jax.Array, *, dilation: int
) -> tuple[jax.Array, jax.Array]:
    """As `gradients_by_matmul`: both gradients are convolutions, too."""
    reach = (kernel.shape[0] - 1) * dilation
    d_x = _xla_convolution(
        gradient, kernel[::-1], ("NWC", "WOI", "NWC"), rhs_dilation=(dilation,), padding=[(reach, reach)]
    )
    # The sum runs over the batch, which therefore takes the place of the features.
    d_kernel = _xla_convolution(x, gradient, ("CWN", "IWO", "WNC"), window_strides=(dilation,))
    return d_x, d_kernel


def _xla_convolution(x: jax.Array, kernel: jax.Array, axes: tuple[str, str, str], **options: Any) -> jax.Array:
    options = {"window_strides": (1,), "padding": "VALID", **options}
    result: jax.Array = jax.lax.conv_general_dilated(
        x, kernel, dimension_numbers=axes, preferred_element_type=jnp.float32, **options
    )
    return result


__all__ = ["gated_convolution", "rectified_convolution"]
