"""Checkpoints to resume from: the state on the device through Orbax, the loop's own state as JSON, checksums of both.

    checkpoints/step-00000500/
      arrays/           Orbax: parameters, optimizer state, carry, step, seed
      loop.json         step, early stopping, losses not logged yet
      SHA256SUMS

Nothing else is needed to go on exactly, because a batch is a pure function of the seed and the step.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import jax
import orbax.checkpoint as ocp

from lmtool.checksums import verify_checksums, write_checksums
from lmtool.errors import DataError
from lmtool.files import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

_NAME = re.compile(r"step-(\d{8,})")
KEEP_NEWEST = 2
"""Checkpoints kept besides the best: the newest, and one to fall back to should it be damaged."""


class Checkpoints:
    """The checkpoints of one run, by step.

    Args:
        folder: Made when the first is saved.
        warn: Told of a damaged checkpoint that is passed over.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._warn = warn

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
        path = self._path(step)
        with atomic_folder(path, replace=True) as scratch:
            _save_arrays(scratch / "arrays", state)
            (scratch / "loop.json").write_text(json.dumps(loop, indent=2, allow_nan=False) + "\n")
            write_checksums(scratch)
        for old in self.steps()[:-KEEP_NEWEST]:
            if old not in keep:
                shutil.rmtree(self._path(old), ignore_errors=True)

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest undamaged checkpoint; None if there is none.

        Args:
            like: A state of the same structure; its arrays say shape, type and device.
        """
        for step in reversed(self.steps()):
            path = self._path(step)
            try:
                verify_checksums(path)
                loop = json.loads((path / "loop.json").read_bytes())
                return _restore_arrays(path / "arrays", like), loop
            except DataError as error:
                self._warn(f"{error.message}; going back to the checkpoint before it")
        return None

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def _flat(state: Any) -> dict[str, Any]:
    """Leaves by path. Orbax cannot store empty arrays; they are what they were anyway."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves if leaf.size}


def _save_arrays(path: Path, state: Any) -> None:
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        checkpointer.save(path.absolute(), args=ocp.args.StandardSave(_flat(state)))


def _restore_arrays(path: Path, like: Any) -> Any:
    wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, _flat(like))
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        found = checkpointer.restore(path.absolute(), args=ocp.args.StandardRestore(wanted))
    return jax.tree_util.tree_map_with_path(lambda key, leaf: found.get(jax.tree_util.keystr(key), leaf), like)


__all__ = ["Checkpoints"]
