"""Where arrays lie: on one device, or on all devices of a mesh with the single axis `"data"`.

The step stays the program of one device. JAX's partitioner cuts it up by where its arguments lie: batches and carry by
rows, parameters and optimizer state whole everywhere or, to save memory, by pieces (Rajbhandari et al., "ZeRO: memory
optimizations toward training trillion parameter models", 2020). So dropout draws the same bits and the loss is the same
mean on any number of devices; only the order of sums differs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding

from lmtool.errors import ConfigError, UsageError
from lmtool.sharding import AXIS
from lmtool.training.state import on_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.devices import DeviceOptions

# JAX leaves both untyped.
PartitionSpec: Any = jax.sharding.PartitionSpec
constrain: Any = jax.lax.with_sharding_constraint


class Placement:
    """Puts state and batches where they belong.

    Args:
        devices: At least one, of all processes; the same in each process.
        shard_params: See `DeviceOptions`.
    """

    def __init__(self, devices: Sequence[jax.Device], *, shard_params: bool = False) -> None:
        self.size = len(devices)
        self.shard_params = shard_params and self.size > 1
        self.mesh: jax.sharding.Mesh | None = None
        if self.size > 1:
            self.mesh = jax.make_mesh((self.size,), (AXIS,), devices=devices, axis_types=(AxisType.Auto,))
        self._device = devices[0]

    # Placing ----------------------------------------------------------------------------------------------------------

    def place_state(self, state: Any) -> Any:
        """A `TrainState`; what lies where it belongs already is left alone."""
        return on_device(state) if self.mesh is None else jax.tree.map(_put, state, self._state_shardings(state))

    def place_carry(self, carry: Any) -> Any:
        """Arrays [B, …] by rows."""
        return on_device(carry) if self.mesh is None else jax.tree.map(_put, carry, self._rows(carry, axis=0))

    def place_fixed(self, fixed: Any) -> Any:
        """Copies of arrays that are the same for all batches: whole on each device, and not given away with a state."""
        if self.mesh is None:
            return on_device(fixed)
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(lambda leaf: _put(jnp.copy(leaf), everywhere), fixed)

    def place_batch(self, batch: Any, *, stacked: bool) -> Any:
        """A batch of the host, arrays [B, …], or several of them stacked, [K, B, …], by rows.

        Every process has the whole batch, since it is a pure function of the step, and uploads its own rows.
        """
        if self.mesh is None:
            return jax.device_put(batch, self._device)
        return jax.tree.map(_put, batch, self._rows(batch, axis=int(stacked)))

    def on_one_device(self, tree: Any) -> Any:
        """Whole arrays on this process's first device, for what is not computed together; all processes must ask."""
        if self.mesh is None:
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(lambda leaf: jax.device_put(leaf, everywhere).addressable_data(0), tree)

    # Computing --------------------------------------------------------------------------------------------------------

    def ambient(self) -> Any:
        """A context in which the step is to be called, so that functions know of the mesh."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def loss(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """`Task.loss`, given whole parameters where the state has pieces; gradients are handed back in pieces."""
        if not self.shard_params:
            return loss
        mesh = self.mesh
        assert mesh is not None

        def with_whole_params(params: Any, *arguments: Any) -> Any:
            whole = jax.tree.map(lambda leaf: _gathered(leaf, NamedSharding(mesh, self._pieces(leaf))), params)
            return loss(whole, *arguments)

        return with_whole_params

    def step(self, step: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
        """A compiled step whose state comes out where it went in, whatever the partitioner would like better."""
        if self.mesh is None:
            return step
        everywhere = NamedSharding(self.mesh, PartitionSpec())

        def placed_step(state: Any, batch: Any) -> tuple[Any, Any]:
            after, metrics = step(state, batch)
            after = constrain(after, self._state_shardings(after))
            return after, constrain(metrics, jax.tree.map(lambda _: everywhere, metrics))

        return jax.jit(placed_step, donate_argnames="state")

    # Shardings --------------------------------------------------------------------------------------------------------

    def _state_shardings(self, state: Any) -> Any:
        shapes = {leaf.shape for leaf in jax.tree.leaves(state.params)}

        def of_leaf(leaf: Any) -> NamedSharding:
            spec = self._pieces(leaf) if self.shard_params and leaf.shape in shapes else PartitionSpec()
            return NamedSharding(self._mesh(), spec)

        # The optimizer's arrays that belong to a parameter, such as its momentum, have its shape.
        return jax.tree.map(of_leaf, state._replace(carry=()))._replace(carry=self._rows(state.carry, axis=0))

    def _rows(self, tree: Any, *, axis: int) -> Any:
        spec = PartitionSpec(*[None] * axis, AXIS)

        def of_leaf(leaf: Any) -> NamedSharding:
            has_rows = leaf.ndim > axis and leaf.shape[axis] % self.size == 0
            return NamedSharding(self._mesh(), spec if has_rows else PartitionSpec())

        return jax.tree.map(of_leaf, tree)

    def _pieces(self, leaf: Any) -> Any:
        """Along the largest axis that the devices can share evenly; whole if there is none."""
        sizes = [(size, -axis) for axis, size in enumerate(leaf.shape) if size and size % self.size == 0]
        return PartitionSpec(*[None] * -max(sizes)[1], AXIS) if sizes else PartitionSpec()

    def _mesh(self) -> jax.sharding.Mesh:
        assert self.mesh is not None
        return self.mesh


def _put(leaf: Any, sharding: NamedSharding) -> Any:
    """An array that this process has the whole of, on a mesh that it may have only a part of."""
    if isinstance(leaf, jax.Array):
        if leaf.sharding == sharding:
            return leaf
        if sharding.is_fully_addressable or not leaf.is_fully_addressable:
            return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def _gathered(leaf: jax.Array, pieces: NamedSharding) -> jax.Array:
    """The whole of a parameter on each device; its gradient goes back by pieces, so no device adds up the whole."""
    everywhere = NamedSharding(pieces.mesh, PartitionSpec())

    @jax.custom_vjp
    def gather(leaf: jax.Array) -> jax.Array:
        whole: jax.Array = constrain(leaf, everywhere)
        return whole

    def forward(leaf: jax.Array) -> tuple[jax.Array, None]:
        return gather(leaf), None

    def backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
        return (constrain(gradient, pieces),)

    gather.defvjp(forward, backward)
    return gather(leaf)


def choose_devices(options: DeviceOptions, batch_size: int, warn: Callable[[str], None]) -> list[jax.Device]:
    """The devices that share a batch: the first `options.devices` of each process, else all.

    Raises:
        UsageError: if there are not so many.
        ConfigError: if they cannot share a batch evenly; without `options.devices`, one process takes fewer instead.
    """
    here = jax.local_devices()
    if options.devices is not None and options.devices > len(here):
        raise UsageError(f"--devices is {options.devices}, but JAX finds {len(here)} here: {_names(here)}")
    number = options.devices or len(here)
    processes = jax.process_count()
    if batch_size % (number * processes):
        if options.devices or processes > 1:
            raise _uneven(batch_size, number * processes)
        number = max(count for count in range(1, number + 1) if batch_size % count == 0)
        warn(f"{number} of {len(here)} devices are used: no more can share training.batch_size = {batch_size} evenly")
    by_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    return [device for index in sorted(by_process) for device in by_process[index][:number]]


def _uneven(batch_size: int, total: int) -> ConfigError:
    return ConfigError(
        f"{total} devices cannot share training.batch_size = {batch_size} evenly",
        hint=f"`--set training.batch_size={-(-batch_size // total) * total}`, or another number of devices",
    )


def _names(devices: Sequence[jax.Device]) -> str:
    return ", ".join(str(device) for device in devices)


__all__ = ["Placement", "choose_devices"]
