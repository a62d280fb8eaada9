"""The same training several times, with other seeds or on other parts of the text, and what comes of it as a mean.

FOLDER/
  repeat.json                 what the runs have in common, and their figures once all are there
  seed-0, seed-1, …           runs; or, with folds,
  fold-0/dataset              the training documents in other parts: train, valid if the config wants it, test
  fold-0/seed-0, …
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lmtool.data.folds import Folds
from lmtool.errors import ConfigError, DataError, UsageError
from lmtool.files import write_atomic
from lmtool.records import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmtool.config import Choice, RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.settings import DataConfig

RECORD = "repeat.json"
VERSION = 1


@dataclass(frozen=True)
class Repetition:
    """One of the runs."""

    path: Path
    fold: int | None
    seed: int
    config: RunConfig
    dataset: Dataset


def undivided(config: RunConfig) -> RunConfig:
    """The config by which text is read that folds are made of: each takes its own share for validation.

    Raises:
        UsageError: if a dataset is named, whose validation split is there already, and a share, too.
    """
    if not config.data.valid_fraction:
        return config
    if config.data.path is not None:
        problem = "data.path names a dataset, whose validation text all folds have, and data.valid_fraction another"
        raise UsageError(problem, hint="leave data.valid_fraction out, or name text by data.train")
    return replace(config, data=config.data.model_copy(update={"valid_fraction": 0.0}))


def repetitions(
    config: RunConfig, dataset: Dataset, folder: Path, *, seeds: int, folds: int | None
) -> Iterator[Repetition]:
    """The runs, one after the other; a fold's dataset is written when it is reached.

    Args:
        config: Of each; its seeds are the first, the following ones are theirs + 1, + 2 …
        dataset: What the config asks for, read as `undivided` says if there are folds.
        folder: Where they are kept.
        seeds: How many of each fold, or in all.
        folds: Parts of the training documents, each of which is the test text once; None to leave the text as it is.

    Raises:
        DataError: if folds are wanted of documents without labels and targets, or of fewer than there are folds.
    """
    parts = [None] if folds is None else list(range(folds))
    fraction = 0.0 if config.data.path is not None else config.data.valid_fraction
    spread = None if folds is None else Folds(dataset, folds, seed=config.training.seed, valid_fraction=fraction)
    for fold in parts:
        home = folder if fold is None else folder / f"fold-{fold}"
        text, used = dataset, config
        if spread is not None and fold is not None:
            text = spread.write(fold, home / "dataset")
            used = replace(config, data=_of_dataset(config.data, text), tokenizer=None)
        for number in range(seeds):
            seed = config.training.seed + number
            yield Repetition(home / f"seed-{seed}", fold, seed, with_seed(used, number), text)


def _of_dataset(data: DataConfig, dataset: Dataset) -> DataConfig:
    sources: dict[str, Any] = {"train": [], "valid": [], "test": [], "valid_fraction": 0.0, "target_tokenizer": None}
    return data.model_copy(update={"path": str(dataset.path.absolute()), **sources})


def with_seed(config: RunConfig, number: int) -> RunConfig:
    """The config with its seeds `number` further: that of training, and the model's own if it has one."""
    training = config.training.model_copy(update={"seed": config.training.seed + number})
    return replace(config, training=training, model=_reseeded(config.model, number))


def _reseeded(model: Choice, number: int) -> Choice:
    if (seed := getattr(model.config, "seed", None)) is None:
        return model
    return replace(model, config=model.config.model_copy(update={"seed": seed + number}))


def depends_on_seed(config: RunConfig) -> bool:
    """False for a model that is counted: every seed gives the same."""
    return config.optimizer is not None or hasattr(config.model.config, "seed")


# The record -----------------------------------------------------------------------------------------------------------


def begin(folder: Path, dataset: Dataset, *, folds: int | None, seed: int) -> None:
    """Note what the runs in a folder have in common, or see that it is the same as before.

    Raises:
        DataError: if something else is in the folder.
        ConfigError: if its runs were begun with other folds or data.
    """
    file = folder / RECORD
    now = {"dataset": dataset.key, "folds": folds, "seed": seed}
    if not file.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} exists and holds no repeated runs", hint="give another name with `-o`")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, now)
        return
    before = read_record(file, "repeat", version=VERSION, check=lambda record: record["dataset"], makes_one="")
    hint = "`-o` names another folder"
    if before["dataset"] != dataset.key:
        raise ConfigError(f"{folder} was begun with other data or another tokenizer than {dataset.path}", hint)
    for name, option in (("folds", "--folds"), ("seed", "training.seed")):
        if before[name] != now[name]:
            was, is_ = ("unset" if one is None else one for one in (before[name], now[name]))
            raise ConfigError(f"{folder} was begun with {option} {was}, now it is {is_}", hint)


def end(folder: Path, results: dict[str, Any]) -> None:
    """Add what came of the runs to the record."""
    record = json.loads((folder / RECORD).read_bytes())
    _write(folder, {name: record[name] for name in ("dataset", "folds", "seed")} | {"results": results})


def _write(folder: Path, facts: dict[str, Any]) -> None:
    record = {"format": "lmtool-repeat", "version": VERSION, **facts}
    write_atomic(folder / RECORD, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


__all__ = ["RECORD", "Repetition", "begin", "depends_on_seed", "end", "repetitions", "undivided", "with_seed"]
