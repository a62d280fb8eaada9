"""What a dynamic model keeps on disk.

MODEL/
  dynamic.json       format version, the run's name, the sizes of a step
  rms.safetensors    root mean squares, their names the paths in the parameters; `rms` only
  part/              the run without checkpoints: run.json, config.toml, model/
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.errors import DataError
from lmtool.parts import Part
from lmtool_dynamic.rules import Rule

if TYPE_CHECKING:
    from pathlib import Path

RECORD, RMS, PART = "dynamic.json", "rms.safetensors", "part"
FORMAT = 1


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
        "format": FORMAT,
        "run": part.name,
        "learning_rate": settings.rule.learning_rate,
        "decay": settings.rule.decay,
        "segment": settings.segment,
        "epsilon": settings.epsilon,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Part, Settings, Any]:
    """What `save` wrote. Raises DataError if it is damaged."""
    name, settings = _read_record(folder / RECORD)
    part = Part.open(name, folder / PART)
    model: Any = part.model
    if not hasattr(model, "score_and_gradient"):
        raise DataError(f"{folder / RECORD} is damaged: {name} has no weights to adapt")
    return part, settings, None if settings.epsilon is None else _read_rms(folder / RMS, model.params)


def _read_record(path: Path) -> tuple[str, Settings]:
    try:
        record = json.loads(path.read_bytes())
        if record["format"] != FORMAT:
            raise DataError(
                f"{path}: format {record['format']} is not known, only {FORMAT}", "a newer lmtool may read it"
            )
        rule = Rule(float(record["learning_rate"]), float(record["decay"]))
        epsilon = None if record["epsilon"] is None else float(record["epsilon"])
        if not all(math.isfinite(size) and size >= 0 for size in (*rule, epsilon or 0.0)) or record["segment"] < 1:
            raise ValueError("no sizes of a step")
        return str(record["run"]), Settings(rule, int(record["segment"]), epsilon)
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is damaged") from None


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
