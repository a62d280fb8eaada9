"""Ensembles of text-to-text networks: opened as runs, kept in the ensemble's own folder, opened again from there.

MODEL/
  ensemble.json     format version, the runs in order
  member-0/ …       a run without checkpoints: run.json, config.toml, model/
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.errors import ConfigError
from lmtool.facts import read_facts, write_facts
from lmtool.parts import TextPart
from lmtool.run import Run
from lmtool.tasks.seq2seq.functions import Functions
from lmtool.tasks.seq2seq.predictor import JointTextModel, NeuralTextModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.data.dataset import Dataset
    from lmtool_ensemble.config import TextEnsembleConfig

logger = logging.getLogger("lmtool.ensemble")

FACTS = "ensemble.json"
READ_ALIKE = ("max_source_length", "keep", "line_ends")
"""Settings of a task that say what is read of a document."""


class TextEnsemble:
    """Puts trained networks together; see `lmtool.api.FittedTextModel`.

    References:
        Sutskever et al., "Sequence to sequence learning with neural networks", 2014 (section 3.6).
    """

    def __init__(self, config: TextEnsembleConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> TextEnsembleModel:
        """Open the runs. Nothing is learned.

        Raises:
            ConfigError: if one has another tokenizer than the dataset, does not write token by token, or reads
                something else of a document than the others.
            DataError: if one is no run, has no model yet, or is damaged.
        """
        wanted = dataset.fingerprint, dataset.target_tokenizer.fingerprint
        for path in self.config.runs:
            run = Run.open(path)
            if (run.dataset_fingerprint, run.target_tokenizer.fingerprint) != wanted:
                what = f"model.runs: {path} has another tokenizer than {dataset.path}, of documents or of targets"
                raise ConfigError(what, "networks write together token by token: train them on one dataset")
            if not run.is_finished:
                logger.warning("%s is not finished; its best model so far is a member", path)
        return TextEnsembleModel([TextPart.open(path, path) for path in self.config.runs])

    def load(self, folder: Path) -> TextEnsembleModel:
        """Raises DataError if it is damaged."""
        names = read_facts(Path(folder) / FACTS, _names_of)
        return TextEnsembleModel([TextPart.open(name, folder / f"member-{i}") for i, name in enumerate(names)])


class TextEnsembleModel(JointTextModel):
    """See `lmtool.api.TextModel`.

    Raises:
        ConfigError: if a part does not write token by token, or reads something else of a document than the first one.
    """

    def __init__(self, parts: Sequence[TextPart]) -> None:
        models = [_writer(part) for part in parts]
        networks = [model.functions.networks[0] for model in models]
        for part, network in zip(parts, networks, strict=True):
            for name in READ_ALIKE:
                if (own := getattr(network.config, name)) != (first := getattr(networks[0].config, name)):
                    what = f"model.runs: task.{name} of {part.name} is {own!r}, of {parts[0].name} {first!r}"
                    raise ConfigError(what, "all members must read the same of a document")
        longest = max(model.known.longest_target for model in models)
        known = replace(models[0].known, longest_target=longest)
        super().__init__(Functions(networks), tuple(model.params for model in models), known)
        self._parts = tuple(parts)

    def save(self, folder: Path) -> None:
        """`ensemble.json`, and each member in a folder of its own."""
        for number, part in enumerate(self._parts):
            part.save(folder / f"member-{number}")
        write_facts(folder / FACTS, {"runs": [part.name for part in self._parts]})


def _writer(part: TextPart) -> NeuralTextModel:
    if not isinstance(part.model, NeuralTextModel):
        what = f"model.runs: {part.name} is no network that writes token by token"
        raise ConfigError(what, "members are runs of seq2seq or reinforce; name those of an ensemble one by one")
    return part.model


def _names_of(facts: dict[str, Any]) -> list[str]:
    """Of the runs. Raises ValueError if there are none."""
    names = [str(name) for name in facts["runs"]]
    if not names:
        raise ValueError("no runs")
    return names


__all__ = ["TextEnsemble", "TextEnsembleModel"]
