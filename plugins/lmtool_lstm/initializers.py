"""How recurrent weights start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from flax.linen.initializers import Initializer

    from lmtool.array_types import Key


def uniform(size: int) -> Initializer:
    """Uniform in ±1/sqrt(H)."""
    bound = size**-0.5

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def blocks(initializer: Initializer, gates: int) -> Initializer:
    """`gates` matrices side by side, each initialised alone."""

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        rows, columns = shape
        keys = jax.random.split(key, gates)
        return jnp.concatenate([initializer(key, (rows, columns // gates), dtype) for key in keys], axis=1)

    return init


def one_block(block: int, gates: int, value: float) -> Initializer:
    """A bias [gates * H] of zeros but for one gate's, which is `value`."""

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jnp.zeros(shape, dtype).reshape(gates, -1).at[block].set(value).reshape(shape)

    return init
