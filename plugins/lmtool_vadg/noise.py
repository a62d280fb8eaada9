"""Gaussian noise from a hash of each number's place: cheap enough to draw one for each weight at each step.

`jax.random.normal` spends most of its time in Threefry, a cipher of twenty rounds, and writes all bits to memory first.
Noise on weights needs no cipher, only numbers that are not correlated: here each is a finalizer of a hash over its own
index, twice, with two words of the key, and a few polynomials that turn it into a normal number. That is arithmetic
without memory, so the compiler fuses it with what uses it. The words themselves come from `jax.random`.

A number is a function of key and place alone: on several devices each computes its own part of the array, and all
together have the bits that one would have.

References:
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011 (random numbers from counters).
    Wellons, "Prospecting for hash functions", 2018 (the finalizer's constants).
    Giles, "Approximating the erfinv function", 2010 (what `jax.lax.erf_inv` computes).
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


def normal_like(tree: Any, key: Key) -> Any:
    """Independent standard normal numbers, float32, in the form of a pytree of arrays."""
    leaves, form = jax.tree.flatten(tree)
    words = jax.random.bits(key, (len(leaves), 2), jnp.uint32)
    return jax.tree.unflatten(form, [normal(leaf.shape, words[number]) for number, leaf in enumerate(leaves)])


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
    drawn: jax.Array = jnp.float32(math.sqrt(2)) * jax.lax.erf_inv(uniform)
    return drawn


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


__all__ = ["LARGEST", "normal", "normal_like"]
