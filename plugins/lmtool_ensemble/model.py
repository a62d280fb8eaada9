"""Ensembles: their members trained, put together, and opened again.

MODEL/
  ensemble.json     format version, weights of the members in order
  member-0/ …       a run without checkpoints: run.json, config.toml, model/
"""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool import em
from lmtool.config import resolve
from lmtool.errors import ConfigError
from lmtool.evaluation.classes import class_predictions, outcome_log_probs
from lmtool.facts import read_facts, write_facts
from lmtool.parts import ClassifierPart
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.repeat import with_seed
from lmtool.run_changes import check_versions
from lmtool.signals import StopRequest
from lmtool.tasks.fitted import gives_classes
from lmtool.training import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmtool.api import Document
    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.training.parts import Report
    from lmtool_ensemble.config import EnsembleConfig

logger = logging.getLogger("lmtool.ensemble")

FACTS = "ensemble.json"


class Ensemble:
    """Trains ensembles; see `lmtool.api.FittedClassifier`.

    References:
        Dietterich, "Ensemble methods in machine learning", 2000; Lakshminarayanan et al., "Simple and scalable
        predictive uncertainty estimation using deep ensembles", 2017.
    """

    def __init__(self, config: EnsembleConfig) -> None:
        self.config = config

    def fit(
        self,
        dataset: Dataset,
        *,
        progress: Callable[[str, float], None],
        scratch: Path,
        stop: StopRequest | None = None,
    ) -> ClassifierEnsemble:
        """Train the members, each as it would be trained alone, and weigh them; see `lmtool.api.ResumableModel`.

        Members are runs in `scratch`: those that are finished are taken as they are, and a half-trained one goes on
        from its checkpoint.

        Raises:
            ConfigError: if a member's settings are wrong; before anything is trained. Also if one that is there was
                begun with other settings, or with another version of a component.
            DataError: if the dataset has no labels, or weights are to be tuned and it has no `valid` split.
            Interrupted: if a signal asked to stop; what there is of members is saved.
        """
        registry, stop = Registry(), stop or StopRequest()
        configs = list(self._configs(dataset, registry))
        if self.config.combine == "tuned":
            dataset.split("valid")
        parts = []
        for number, config in enumerate(configs):
            stop.check()
            path = Path(scratch) / f"member-{number}"
            report = _reporting(progress, number, len(configs))
            run = train(config, dataset, path, registry, stop=stop, report=report, warn=logger.warning)
            check_versions(run, config, dataset)
            shutil.rmtree(path / "checkpoints", ignore_errors=True)
            parts.append(ClassifierPart.open(f"member-{number}", path))
        return ClassifierEnsemble(parts, self._weights(parts, dataset))

    def _configs(self, dataset: Dataset, registry: Registry) -> Iterator[RunConfig]:
        """Of each member and seed: another seed of the whole gives a member none of those that it had before."""
        for number, member in enumerate(self.config.members):
            where = f"model.members, number {number + 1}"
            sections = member.sections()
            sections["task"] = {"name": "classify", **member.task}
            raw = Raw({**sections, "data": {"path": str(dataset.path.absolute())}}, source=where)
            config = resolve(raw, registry)
            if not gives_classes(config.task):
                raise ConfigError(f"{where}: task '{config.task.name}' gives no classes")
            for seed in range(member.seeds):
                yield with_seed(config, self.config.seed * member.seeds + seed)

    def _weights(self, parts: Sequence[ClassifierPart], dataset: Dataset) -> np.ndarray:
        if self.config.combine == "mean":
            return np.full(len(parts), 1 / len(parts))
        held_out = dataset.split("valid")
        found = [
            np.concatenate([outcome_log_probs(piece) for piece, _ in class_predictions(part.model, held_out)])
            for part in parts
        ]
        return em.tune(np.stack(found)).weights

    def load(self, folder: Path) -> ClassifierEnsemble:
        """Raises DataError if it is damaged."""
        weights = read_facts(Path(folder) / FACTS, _weights_of)
        names = [f"member-{number}" for number in range(len(weights))]
        return ClassifierEnsemble([ClassifierPart.open(name, Path(folder) / name) for name in names], weights)


def _reporting(progress: Callable[[str, float], None], number: int, count: int) -> Report:
    """One member's progress as a part of the whole."""

    def report(phase: str, fraction: float, **fields: str) -> None:
        progress(f"member {number + 1} of {count}, {phase}", (number + fraction) / count)

    return report


class ClassifierEnsemble:
    """A weighted mean of classifiers' probabilities; see `lmtool.api.Classifier`."""

    def __init__(self, parts: Sequence[ClassifierPart], weights: np.ndarray) -> None:
        self.parts, self.weights = list(parts), weights
        first = parts[0].model
        self.labels, self.multi_label, self.vocab_size = first.labels, first.multi_label, first.vocab_size

    @property
    def facts(self) -> dict[str, Any]:
        """What a run notes of it."""
        return {"members": len(self.parts), "weights": [round(float(weight), 4) for weight in self.weights]}

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        total = np.full((len(documents), len(self.labels)), -np.inf)
        for part, weight in zip(self.parts, self.weights, strict=True):
            if weight > 0:
                total = np.logaddexp(total, part.model.log_probs(documents) + math.log(weight))
        return np.asarray(np.minimum(total, 0.0))  # rounding may leave a sure thing a little above

    def save(self, folder: Path) -> None:
        """Write `ensemble.json` and a folder for each member."""
        for number, part in enumerate(self.parts):
            part.save(Path(folder) / f"member-{number}")
        write_facts(Path(folder) / FACTS, {"weights": [float(weight) for weight in self.weights]})


def _weights_of(facts: dict[str, Any]) -> np.ndarray:
    """Of the members. Raises ValueError if they are none."""
    weights = np.array([float(weight) for weight in facts["weights"]])
    if not len(weights) or not (weights >= 0).all() or not abs(weights.sum() - 1) < 1e-6:
        raise ValueError("no weights")
    return weights


__all__ = ["ClassifierEnsemble", "Ensemble"]
