"""A batch in parts, one after another, so that only one part's activations are in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.training.state import FIXED

if TYPE_CHECKING:
    from collections.abc import Callable


def in_parts(gradient: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The value and gradient of a whole batch, from `count` parts of its rows.

    A part's mean loss, and its gradient, have the weight of the part's number of targets: so the result is that of the
    whole batch to rounding, but for what is drawn at random and for means over other things than targets (TAR's over
    pairs of them, where there is padding).

    Args:
        gradient: `(params, carry, batch, keys) -> ((mean loss, (carry, number of targets)), gradients)`; whatever it
            gives in the place of gradients is averaged alike. Each part has keys of its own.
        count: Divides the number of rows, the first axis of the arrays of carry and batch, but for what is fixed.
    """

    def whole(params: Any, carry: Any, batch: Any, keys: Any) -> Any:
        fixed = {FIXED: batch[FIXED]} if FIXED in batch else {}
        batch = {name: array for name, array in batch.items() if name not in fixed}

        def add(sums: tuple[Any, Any, Any], part: tuple[Any, Any, jax.Array]) -> tuple[tuple[Any, Any, Any], Any]:
            carry, batch, number = part
            own = jax.tree.map(lambda key: jax.random.fold_in(key, number), keys)
            found = gradient(params, carry, {**batch, **fixed}, own)
            (value, (carry, num_targets)), grads = found
            weight = num_targets.astype(jnp.float32)
            weighted = jax.tree.map(lambda sum_, one: sum_ + weight * one, sums[:2], (value, grads))
            return (*weighted, sums[2] + num_targets), carry

        parts = (_split(carry, count), _split(batch, count), jnp.arange(count))
        first_carry, first_batch = jax.tree.map(lambda array: array[0], parts[:2])
        form = jax.eval_shape(gradient, params, first_carry, {**first_batch, **fixed}, keys)
        (value, (_, num_targets)), grads = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), form)
        (value, grads, num_targets), carry_parts = jax.lax.scan(add, (value, grads, num_targets), parts)
        share = 1 / jnp.maximum(num_targets, 1).astype(jnp.float32)
        value, grads = jax.tree.map(lambda sum_: sum_ * share, (value, grads))
        return (value, (_join(carry_parts), num_targets)), grads

    return whole


def _split(tree: Any, count: int) -> Any:
    """[B, …] to [count, B / count, …], every `count`-th row: on many devices each keeps rows of its own."""

    def of_leaf(array: jax.Array) -> jax.Array:
        return jnp.moveaxis(jnp.reshape(array, (array.shape[0] // count, count, *array.shape[1:])), 1, 0)

    return jax.tree.map(of_leaf, tree)


def _join(tree: Any) -> Any:
    """What `_split` parted."""

    def of_leaf(array: jax.Array) -> jax.Array:
        return jnp.reshape(jnp.moveaxis(array, 0, 1), (array.shape[0] * array.shape[1], *array.shape[2:]))

    return jax.tree.map(of_leaf, tree)
