"""What a dynamic model keeps on disk.

MODEL/
  dynamic.json       format version, the run's name, the sizes of a step
  rms.safetensors    root mean squares, their names the paths in the parameters; `rms` only
  part/              the run without checkpoints: run.json, config.toml, model/
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.errors import DataError
from lmtool.facts import read_facts, write_facts
from lmtool.parts import Part
from lmtool_dynamic.rules import Rule

if TYPE_CHECKING:
    from pathlib import Path

FACTS, RMS, PART = "dynamic.json", "rms.safetensors", "part"


class Settings(NamedTuple):
    """What was decided when the model was made."""

    rule: Rule
    segment: int
    epsilon: float | None
    """None for plain gradient descent."""


def save(folder: Path, part: Part, settings: Settings, rms: Any) -> None:
    """Write the three into an existing folder; `rms` is None for plain gradient descent."""
    from safetensors.numpy import save

    part.save(folder / PART)
    if rms is not None:
        arrays = {name: np.ascontiguousarray(array) for name, array in _named(jax.device_get(rms)).items()}
        (folder / RMS).write_bytes(save(arrays))
    record = {
        "run": part.name,
        "learning_rate": settings.rule.learning_rate,
        "decay": settings.rule.decay,
        "segment": settings.segment,
        "epsilon": settings.epsilon,
    }
    write_facts(folder / FACTS, record)


def load(folder: Path) -> tuple[Part, Settings, Any]:
    """What `save` wrote. Raises DataError if it is damaged."""
    name, settings = read_facts(folder / FACTS, _parse)
    part = Part.open(name, folder / PART)
    model: Any = part.model
    if not hasattr(model, "score_and_gradient"):
        raise DataError(f"{folder / FACTS} is damaged: {name} has no weights to adapt")
    return part, settings, None if settings.epsilon is None else _read_rms(folder / RMS, model.params)


def _parse(record: dict[str, Any]) -> tuple[str, Settings]:
    rule = Rule(float(record["learning_rate"]), float(record["decay"]))
    epsilon = None if record["epsilon"] is None else float(record["epsilon"])
    if not all(math.isfinite(size) and size >= 0 for size in (*rule, epsilon or 0.0)) or record["segment"] < 1:
        raise ValueError("no sizes of a step")
    return str(record["run"]), Settings(rule, int(record["segment"]), epsilon)


def _read_rms(path: Path, params: Any) -> Any:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    expected = _named(params)
    if {name: one.shape for name, one in arrays.items()} != {name: one.shape for name, one in expected.items()}:
        raise DataError(f"{path} does not belong to the run in {path.parent / PART}")
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(params), leaves)


def _named(params: Any) -> dict[str, Any]:
    """Leaves by their paths, in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
