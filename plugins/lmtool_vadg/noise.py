"""Gaussian noise from a hash of each number's place: cheap enough to draw one for each weight at each step.

`jax.random.normal` spends most of its time in Threefry, a cipher of twenty rounds, and writes all bits to memory first.
Noise on weights needs no cipher, only numbers that are not correlated: here each is a finalizer of a hash over its own
index, twice, with two words of the key, and a few polynomials that turn it into a normal number. That is arithmetic
without memory, so the compiler fuses it with what uses it. The words themselves come from `jax.random`. The polynomials
are those of `jax.lax.erf_inv`, with a logarithm to 3 · 10⁻⁶ rather than of all digits: most of the time was that.

A number is a function of key and place alone: on several devices each computes its own part of the array, and all
together have the bits that one would have.

References:
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011 (random numbers from counters).
    Wellons, "Prospecting for hash functions", 2018 (the finalizer's constants).
    Giles, "Approximating the erfinv function", 2010 (the polynomials, table 5 there).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.array_types import Key

LARGEST = 5.42
"""No number is farther from zero: one of 2²⁴ places in (-1, 1) is all that decides."""


def words_for(tree: Any, key: Key) -> Any:
    """In the place of each array of a pytree the words, uint32 [2], of its own noise."""
    leaves, form = jax.tree.flatten(tree)
    words = jax.random.bits(key, (len(leaves), 2), jnp.uint32)
    return jax.tree.unflatten(form, [words[number] for number in range(len(leaves))])


def normal(shape: Sequence[int], words: jax.Array) -> jax.Array:
    """Independent standard normal numbers, float32, within ± `LARGEST`.

    Args:
        shape: Of the array; the first 2³² numbers differ from each other in their bits.
        words: uint32 [2], random.
    """
    bits = _mix(_mix(_places(shape) ^ words[0]) ^ words[1])
    # The middles of 2²⁴ equal parts of (-1, 1), each a float32 without rounding; neither end is among them.
    middle = (bits >> jnp.uint32(8)).astype(jnp.int32) - jnp.int32(2**23)
    uniform = (middle.astype(jnp.float32) + jnp.float32(0.5)) * jnp.float32(2**-23)
    return quantile(uniform)


def quantile(x: jax.Array) -> jax.Array:
    """√2 erf⁻¹(x), float32: of a uniform number in (-1, 1) a normal one. Its error is below 10⁻⁵ of it or of 1."""
    w = -_log((1 - x) * (1 + x))
    magnitude = jnp.where(w < 5, _polynomial(_CENTRE, w - 2.5), _polynomial(_TAIL, jnp.sqrt(w) - 3))
    found: jax.Array = jnp.float32(math.sqrt(2)) * x * magnitude
    return found


_CENTRE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)
_LOG = (-0.14021623, 0.21965708, -0.25433356, 0.33265907, -0.4998948, 1.0000037)
"""ln(1 + f) / f, interpolated at Chebyshev's points between √½ - 1 and √2 - 1."""


def _log(x: jax.Array) -> jax.Array:
    """The natural logarithm of positive, normal float32 to 3 · 10⁻⁶."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    exponent = (bits - jnp.int32(0x3F3504F3)) >> jnp.int32(23)  # so that the rest lies between √½ and √2
    rest = jax.lax.bitcast_convert_type(bits - (exponent << jnp.int32(23)), jnp.float32) - 1
    found: jax.Array = exponent.astype(jnp.float32) * jnp.float32(math.log(2)) + rest * _polynomial(_LOG, rest)
    return found


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    """Horner's scheme, the highest power first."""
    value = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + jnp.float32(coefficient)
    return value


def _places(shape: Sequence[int]) -> jax.Array:
    """uint32, the number of each element in row-major order."""
    places = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(len(shape))):
        along = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        places = places + along * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return places


def _mix(x: jax.Array) -> jax.Array:
    """A bijection of 32 bits of which each output bit depends on every input bit."""
    x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0x846CA68B)
    mixed: jax.Array = x ^ (x >> jnp.uint32(16))
    return mixed


__all__ = ["LARGEST", "normal", "quantile", "words_for"]
