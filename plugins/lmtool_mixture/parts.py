"""The parts of a mixture: opened as runs, kept in the mixture's own folder, opened again from there.

MODEL/
  mixture.json      format version, weights, the parts in order
  part-0/ …         a run without checkpoints: run.json, config.toml, model/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmtool.checksums import write_checksums
from lmtool.errors import ConfigError, DataError
from lmtool.run import RECORD as RUN_RECORD
from lmtool.run import Run
from lmtool_mixture.ensemble import Ensemble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmtool.api import LanguageModel
    from lmtool.data.dataset import Dataset

RECORD = "mixture.json"
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """A trained run."""

    name: str
    """What the user called it."""
    run: Run
    model: LanguageModel

    @classmethod
    def open(cls, name: str, folder: str | Path) -> Part:
        """Raises DataError if it is no run, has no model yet, or is damaged."""
        run = Run.open(folder)
        return cls(name, run, run.language_model())

    def save(self, folder: Path) -> None:
        """All that opening it takes: no checkpoints, and no tokenizer, which is the mixture's."""
        (folder / "model").mkdir(parents=True)
        for file in (RUN_RECORD, "config.toml"):
            (folder / file).write_bytes((self.run.path / file).read_bytes())
        self.model.save(folder / "model")
        write_checksums(folder / "model")


@dataclass(frozen=True)
class Parts:
    """All of a mixture but how they are weighted."""

    runs: tuple[Part, ...]

    @cached_property
    def ensemble(self) -> Ensemble:
        return Ensemble([part.model for part in self.runs])

    @property
    def names(self) -> list[str]:
        return [part.name for part in self.runs]

    def save(self, folder: Path, *, weights: Sequence[float]) -> None:
        for number, part in enumerate(self.runs):
            part.save(folder / f"part-{number}")
        record = {"format": FORMAT, "runs": [part.name for part in self.runs], "weights": list(weights)}
        (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def open_runs(paths: Sequence[str], dataset: Dataset) -> Parts:
    """The runs that a config names.

    Raises:
        ConfigError: if one was trained with another tokenizer than the dataset.
        DataError: if one is no run, has no model yet, or is damaged.
    """
    for path in paths:
        if Run.open(path).dataset_fingerprint != dataset.fingerprint:
            raise _other_tokenizer(path, paths, dataset)
    return Parts(tuple(Part.open(path, path) for path in paths))


def _other_tokenizer(path: str, paths: Sequence[str], dataset: Dataset) -> ConfigError:
    same = [one for one in paths if Run.open(one).dataset_fingerprint == dataset.fingerprint]
    other = same[0] if same else f"the dataset {dataset.path}"
    hint = "models are mixed token by token: train them on one dataset"
    return ConfigError(f"model.runs: {path} has another tokenizer than {other}", hint)


def load(folder: Path) -> tuple[Parts, dict[str, Any]]:
    """What `Parts.save` wrote: the parts, and the record. Raises DataError if it is damaged."""
    record = _read_record(folder / RECORD)
    parts = (Part.open(name, folder / f"part-{number}") for number, name in enumerate(record["runs"]))
    return Parts(tuple(parts)), record


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        if record["format"] != FORMAT:
            raise DataError(f"{path}: format {record['format']} is not known", "a newer lmtool may read it")
        _ = [str(name) for name in record["runs"]], [float(weight) for weight in record["weights"]]
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is damaged") from None
    return dict(record)
