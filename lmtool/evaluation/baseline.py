"""The linear model beside other classifiers: fitted once to what a run learned from, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from lmtool.cache import cache_folder
from lmtool.config import resolve
from lmtool.errors import DataError, PluginError
from lmtool.files import lock
from lmtool.raw_config import Raw
from lmtool.run import RECORD, Run
from lmtool.tasks.fitted import fitted_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry

MODEL = "linear"


def baseline_run(
    run: Run, registry: Registry, progress: Callable[[str, float], None] = lambda phase, fraction: None
) -> Run | None:
    """The linear model with default settings, of the documents that a classifier learned from.

    Args:
        run: Of a classifier.
        registry: Where the model is looked up.
        progress: Called with a phase and the fraction of it done.

    Returns:
        A finished run in the user's cache; None if the run is one of the linear model, its dataset is not there any
        more, or the model is not installed.

    Raises:
        LmtoolError: if the model cannot be fitted.
    """
    if run.predicts != "classes" or _model_of(run) == MODEL or (dataset := run.learned_dataset()) is None:
        return None
    try:
        registry.find("model", MODEL)
    except PluginError:
        return None
    values = {"data": {"path": str(dataset.path)}, "task": {"name": "classify"}, "model": {"name": MODEL}}
    config = resolve(Raw(values), registry)
    path = cache_folder() / "baselines" / _key(config, dataset)
    with lock(path.with_name(f".{path.name}.lock")):  # whoever comes second finds it done
        return _ready(path, registry) or _fit(config, dataset, path, registry, progress)


def _model_of(run: Run) -> str:
    return next(str(one["name"]) for one in run.components if one["kind"] == "model")


def _key(config: RunConfig, dataset: Dataset) -> str:
    settings = [dataset.key, config.model.found.record(), config.to_dict()["model"]]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _ready(path: Path, registry: Registry) -> Run | None:
    """The run that is there, if it is finished and whole, and its dataset is where it was."""
    try:
        run = Run.open(path, registry)
        if run.is_finished and run.dataset_path is not None:
            run.verify()
            return run
    except DataError:
        pass
    return None


def _fit(
    config: RunConfig, dataset: Dataset, path: Path, registry: Registry, progress: Callable[[str, float], None]
) -> Run:
    run = Run.create(path, config, dataset, registry, force=(path / RECORD).is_file())
    with run.scratch() as scratch:

        def told(phase: str, fraction: float) -> None:
            progress(f"baseline: {phase}", fraction)

        run.write_model(fitted_model(config.model, config.task).fit(dataset, progress=told, scratch=scratch))
    run.finish({"step": 0})
    return run


__all__ = ["MODEL", "baseline_run"]
