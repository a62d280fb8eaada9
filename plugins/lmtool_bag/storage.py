"""A trained bag on disk.

FOLDER/
  bag.json    format version, labels, what the tokenizer was
  bag.npz     keys uint64 [F], idf float32 [F], table float32 [F, K], output float32 [C, K] or [0, 0], bias float32 [C]
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.errors import DataError
from lmtool.files import atomic_file, write_atomic
from lmtool_bag.features import Features
from lmtool_bag.scoring import Scorer

if TYPE_CHECKING:
    from pathlib import Path

    from lmtool_bag.config import BagConfig

FORMAT, VERSION = "lmtool-bag", 1
RECORD, ARRAYS = "bag.json", "bag.npz"
REPAIR = "train the model again, or copy the run again from where it came"
_TYPES = {"keys": "uint64", "idf": "float32", "table": "float32", "output": "float32", "bias": "float32"}


@dataclass(frozen=True)
class Facts:
    """What a classifier knows of the dataset that it learned from."""

    labels: tuple[str, ...]
    multi_label: bool
    vocab_size: int
    eos_id: int


def save(folder: Path, features: Features, scorer: Scorer, facts: Facts) -> None:
    """Write into an existing folder. Raises DataError if that cannot be done."""
    with atomic_file(folder / ARRAYS) as file:
        np.savez(file, allow_pickle=False, keys=features.keys, idf=features.idf, **scorer._asdict())
    record = {"format": FORMAT, "version": VERSION, "labels": list(facts.labels), "multi_label": facts.multi_label,
              "vocab_size": facts.vocab_size, "eos_id": facts.eos_id}  # fmt: skip
    write_atomic(folder / RECORD, json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def load(folder: Path, config: BagConfig) -> tuple[Features, Scorer, Facts]:
    """What `save` wrote. Raises DataError naming the file that is missing, damaged or of a newer version."""
    facts = _read_facts(folder / RECORD)
    path = folder / ARRAYS
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _TYPES}
        _check(arrays, len(facts.labels))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged: {error}", hint=REPAIR) from None
    keys, idf = arrays.pop("keys"), arrays.pop("idf")
    return Features(config, facts.eos_id, keys, idf), Scorer(**arrays), facts


def _read_facts(path: Path) -> Facts:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        if record["format"] != FORMAT:
            raise ValueError(f"format is {record['format']!r}")
        newer = int(record["version"]) > VERSION
        labels = tuple(map(str, record["labels"]))
        facts = Facts(labels, bool(record["multi_label"]), int(record["vocab_size"]), int(record["eos_id"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}", hint=REPAIR) from None
    if newer:
        raise DataError(f"{path} has format version {record['version']}; this lmtool reads up to {VERSION}")
    return facts


def _check(arrays: dict[str, np.ndarray], classes: int) -> None:
    """Raises ValueError unless types and sizes are those that scoring relies on."""
    for name, dtype in _TYPES.items():
        if arrays[name].dtype != np.dtype(dtype):
            raise ValueError(f"{name} has type {arrays[name].dtype}, not {dtype}")
    features, width = arrays["table"].shape
    output = arrays["output"].shape
    if arrays["keys"].shape != (features,) or arrays["idf"].shape != (features,) or arrays["bias"].shape != (classes,):
        raise ValueError("its arrays do not go together")
    if output != (classes, width) and not (output == (0, 0) and width == classes):
        raise ValueError(f"output has shape {list(output)} for {classes} classes of {width} numbers")
    if len(np.unique(arrays["keys"])) != features:
        raise ValueError("a key stands in it twice")


__all__ = ["Facts", "load", "save"]
