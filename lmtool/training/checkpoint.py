"""Checkpoints to resume from: the state on the device through Orbax, the loop's own state as JSON, checksums of both.

    checkpoints/step-00000500/
      arrays/           Orbax: parameters, optimizer state, carry, step, seed
      arrays.json       shapes and types of those
      loop.json         step, early stopping, losses not logged yet
      SHA256SUMS

Nothing else is needed to go on exactly, because a batch is a pure function of the seed and the step.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from lmtool.checksums import verify_checksums, write_checksums
from lmtool.errors import DataError
from lmtool.files import atomic_folder
from lmtool.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

_NAME = re.compile(r"step-(\d{8,})")
KEEP_NEWEST = 2
"""Checkpoints kept besides the best: the newest, and one to fall back to should it be damaged."""


class Checkpoints:
    """The checkpoints of one run, by step.

    Args:
        folder: Made when the first is saved. Only process 0 reads and writes it.
        warn: Told of a damaged checkpoint that is passed over.
        processes: Those that train together; all of them call `save` and `restore`.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None], processes: Processes | None = None) -> None:
        self.folder = folder
        self._warn = warn
        self._processes = processes or Processes()

    def steps(self) -> list[int]:
        """Steps that there are complete checkpoints of, ascending."""
        if not self.folder.is_dir():
            return []
        names = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def save(self, step: int, state: Any, loop: dict[str, Any], *, keep: Collection[int | None] = ()) -> None:
        """Save, wait until it is complete, and only then remove what is no longer needed.

        Args:
            step: Of the state.
            state: A pytree of arrays.
            loop: JSON values.
            keep: Steps whose checkpoints must stay.
        """
        arrays = on_host(_flat(state))
        self._processes.first(lambda: self._write(step, arrays, loop, keep))

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], loop: dict[str, Any], keep: Collection[int | None]
    ) -> None:
        with atomic_folder(self._path(step), replace=True) as scratch:
            _save_arrays(scratch, arrays)
            (scratch / "loop.json").write_text(json.dumps(loop, indent=2, allow_nan=False) + "\n")
            write_checksums(scratch)
        # One from after this step was found damaged when this run went on: it is no fallback.
        for old in [one for one in self.steps() if one <= step][:-KEEP_NEWEST]:
            if old not in keep:
                shutil.rmtree(self._path(old), ignore_errors=True)

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest undamaged checkpoint; None if there never was one.

        Args:
            like: A state of the same structure; its arrays say shape, type and where they lie.

        Raises:
            DataError: if every checkpoint is damaged.
        """
        wanted, found = _flat(like), {}

        def read() -> dict[str, Any] | None:
            newest = self._newest(wanted)
            if newest is None:
                return None
            found.update(newest[0])
            return newest[1]

        loop: dict[str, Any] | None = self._processes.first(read)
        if loop is None:
            return None
        empty = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in wanted.items()} if not found else {}
        return _placed_like(like, self._processes.of_first(found or empty)), loop

    def _newest(self, wanted: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        last = None
        for step in reversed(self.steps()):
            if last:
                self._warn(f"{last.message}; going back to the checkpoint of step {step}")
            try:
                return self._read(self._path(step), wanted)
            except DataError as error:
                last = error
        if last:
            raise DataError(last.message, hint="no other checkpoint is left; `--force` starts over")
        return None

    def _read(self, path: Path, wanted: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        verify_checksums(path)
        loop: dict[str, Any] = json.loads((path / "loop.json").read_bytes())
        return _read_arrays(path, wanted), loop

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def _flat(state: Any) -> dict[str, Any]:
    """Leaves by path. Orbax cannot store empty arrays; they are what they were anyway."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves if leaf.size}


def _forms(arrays: dict[str, Any]) -> dict[str, str]:
    return {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}


def on_host(tree: Any) -> Any:
    """The whole of each array. All processes must call it, since each has a part of what is spread over them."""
    return jax.tree.map(_whole, tree)


def _whole(leaf: jax.Array) -> np.ndarray:
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    if leaf.is_fully_replicated:
        return np.asarray(leaf.addressable_data(0))
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    (path / "arrays.json").write_text(json.dumps(_forms(arrays), indent=2) + "\n")
    _check_space(path / "space", sum(array.nbytes for array in arrays.values()))
    try:
        with _checkpointer() as checkpointer:
            checkpointer.save((path / "arrays").absolute(), args=ocp.args.StandardSave(arrays))
    except ValueError as error:  # what the storage library makes of an error of the operating system
        raise DataError(f"cannot write {path.parent}: {str(error).partition(chr(10))[0]}") from None


def _checkpointer() -> Any:
    """Of this process alone: it would otherwise wait for the others at each turn."""
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0}, barrier_sync_key_prefix="lmtool")
    if jax.process_count() == 1:
        alone = ocp.options.MultiprocessingOptions()
    return ocp.Checkpointer(ocp.StandardCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone)


def _check_space(path: Path, size: int) -> None:
    """Raise OSError if the disk is too full. Orbax finds that out in many threads at once, which all complain."""
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        path.unlink()


def _read_arrays(path: Path, wanted: dict[str, Any]) -> dict[str, np.ndarray]:
    _check_forms(path, json.loads((path / "arrays.json").read_bytes()), _forms(wanted))
    # Shape and type are what is looked at: this one takes no memory.
    target = {name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape) for name, leaf in wanted.items()}
    with _checkpointer() as checkpointer:
        found: dict[str, np.ndarray] = checkpointer.restore(
            (path / "arrays").absolute(), args=ocp.args.StandardRestore(target)
        )
    return found


def _placed_like(like: Any, found: dict[str, np.ndarray]) -> Any:
    def place(path: Any, leaf: jax.Array) -> jax.Array:
        array = found.get(jax.tree_util.keystr(path))
        if array is None:
            return leaf
        return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: array[index])

    return jax.tree_util.tree_map_with_path(place, like)


def _check_forms(path: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise DataError(
                f"{path} is of another model or optimizer: state{name} is {found.get(name)}, not {wanted.get(name)}"
            )


__all__ = ["Checkpoints", "on_host"]
