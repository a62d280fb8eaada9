"""Functions that each device computes for its own part of a batch, where JAX's partitioner would do it badly.

Training on several devices compiles the program of one; the partitioner cuts it up. It cannot where the batch is not
the first axis of what is merged into rows (`[T, B, …]` to `[T * B, …]`), nor where rows are read piece by piece: there
it gathers everything everywhere first. Such a function says here which axes are the batch's. Without a mesh, as on one
device, it is called as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import jax

AXIS = "data"
"""Of the mesh: the one over which a batch is spread."""


def sum_over_rows(function: Callable[..., Any], *, rows: Collection[int]) -> Callable[..., Any]:
    """`function`, a sum over rows, by each device for the rows that it holds; the sums are added up.

    Args:
        function: Positional arrays, or pytrees of them, to a float []; differentiable.
        rows: Numbers of the arguments whose first axis is that of the rows.
    """

    def sum_(*arguments: Any) -> Any:
        axes = [0 if number in rows else None for number in range(len(arguments))]
        if not _is_spread(axes, arguments):
            return function(*arguments)
        return _mapped(lambda *parts: _added_up(function(*parts)), axes, None)(*arguments)

    return sum_


def by_batch(
    function: Callable[..., Any], *, axes: Sequence[int | None], out_axes: int | tuple[int, ...]
) -> Callable[..., Any]:
    """`function`, by each device for its part of the batch, of which every part is computed by itself.

    Args:
        function: Positional arrays to an array or a tuple of them; differentiable. Gradients with respect to arguments
            without a batch, such as kernels, are added up over the devices.
        axes: Of the batch, in each argument; None where there is none.
        out_axes: Of the batch, in each result.
    """

    def parts(*arguments: Any) -> Any:
        return (_mapped(function, axes, out_axes) if _is_spread(axes, arguments) else function)(*arguments)

    return parts


def _is_spread(axes: Sequence[int | None], arguments: Sequence[Any]) -> bool:
    import jax

    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or AXIS in mesh.manual_axes or (size := mesh.shape.get(AXIS, 1)) == 1:
        return False
    pairs = zip(axes, arguments, strict=True)
    return all(
        leaf.shape[axis] % size == 0
        for axis, argument in pairs
        if axis is not None
        for leaf in jax.tree.leaves(argument)
    )


def _mapped(function: Callable[..., Any], axes: Sequence[int | None], out_axes: Any) -> Callable[..., Any]:
    import jax

    # Unchecked: a function need not know that what it computes differs from device to device.
    mapped: Callable[..., Any] = jax.shard_map(
        function,
        in_specs=tuple(_spec(axis) for axis in axes),
        out_specs=tuple(map(_spec, out_axes)) if isinstance(out_axes, tuple) else _spec(out_axes),
        check_vma=False,
    )
    return mapped


def _spec(axis: int | None) -> Any:
    import jax

    spec: Any = jax.sharding.PartitionSpec  # JAX leaves it untyped
    return spec() if axis is None else spec(*[None] * axis, AXIS)


def _added_up(part: jax.Array) -> Any:
    import jax

    psum: Any = jax.lax.psum
    return psum(part, AXIS)


__all__ = ["AXIS", "by_batch", "sum_over_rows"]
