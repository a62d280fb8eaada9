"""A language model as a classifier: one model a class, and Bayes' rule.

    log p(class | document) = log p(class) + log p(document | class) - log Σ over classes

Each model is of the whole document, its line ends included; priors are the classes' shares of the training documents,
with one document added to each. Words are judged as if each told something new, so probabilities are far too sure of
long documents; their order is what counts.

References:
    Peng, Schuurmans & Wang, "Augmenting naive Bayes classifiers with statistical language models", 2004.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.subset import write_subset
from lmtool.errors import ConfigError
from lmtool.facts import read_facts, write_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lmtool.api import Document, FittedModel, LanguageModel
    from lmtool.data.dataset import Dataset

    Chosen = tuple[str, np.ndarray]

FACTS = "generative.json"
ROWS, WINDOW = 32, 128
"""Documents side by side, and time steps, that a model with a state is asked for at once."""


@dataclass(frozen=True)
class Facts:
    """What a classifier is besides its models; `generative.json`."""

    vocab_size: int
    eos_id: int
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """Training documents of each class; a class without any has no model."""

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Facts:
        """Raises KeyError, TypeError or ValueError if it is not what `to_json` gave."""
        labels, counts = tuple(map(str, record["labels"])), tuple(map(int, record["counts"]))
        if len(labels) != len(counts) or not any(counts):
            raise ValueError(f"{len(labels)} labels and counts {counts}")
        return cls(int(record["vocab_size"]), int(record["eos_id"]), labels, counts)

    def to_json(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "eos_id": self.eos_id, "labels": self.labels, "counts": self.counts}

    @property
    def log_priors(self) -> np.ndarray:
        """float64 [C], nats: one document is added to each class."""
        counts = np.array(self.counts, np.float64) + 1
        return np.asarray(np.log(counts / counts.sum()))


class Generative:
    """Fits a language model to the documents of each class; see `lmtool.api.FittedClassifier`."""

    def __init__(self, model: FittedModel) -> None:
        self.model = model

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> GenerativeClassifier:
        """One model a class.

        Raises:
            ConfigError: if documents may have several labels.
            DataError: if there are no labels.
        """
        labels = dataset.label_names
        if dataset.multi_label:
            what = f"documents of {dataset.path} may have several labels, and a language model a class tells one"
            raise ConfigError(what, hint="`--model linear` and the task classify take several")
        names: list[str] = [name for name in ("train", "valid") if name in dataset.split_names]
        classes = {name: dataset.split(name).label_ids for name in names}
        counts = np.bincount(classes["train"], minlength=len(labels))
        models: dict[int, LanguageModel] = {}
        for one in np.flatnonzero(counts).tolist():

            def told(phase: str, fraction: float, one: int = one) -> None:
                progress(f"{labels[one]}: {phase}", (one + fraction) / len(labels))

            numbers: dict[str, Chosen] = {name: (name, np.flatnonzero(classes[name] == one)) for name in names}
            models[one] = self._fit_class(dataset, numbers, told, scratch / f"class-{one}")
        facts = Facts(dataset.vocab_size, dataset.eos_id, labels, tuple(counts.tolist()))
        return GenerativeClassifier(models, facts)

    def _fit_class(
        self,
        dataset: Dataset,
        numbers: Mapping[str, Chosen],
        progress: Callable[[str, float], None],
        folder: Path,
    ) -> LanguageModel:
        folder.mkdir()
        splits = {name: chosen for name, chosen in numbers.items() if len(chosen[1])}
        documents = write_subset(dataset, folder / "documents", splits)
        (folder / "scratch").mkdir()
        model = self.model.fit(documents, progress=progress, scratch=folder / "scratch")
        shutil.rmtree(documents.path, ignore_errors=True)
        return model

    def load(self, folder: Path) -> GenerativeClassifier:
        """Raises DataError if it is damaged."""
        facts = read_facts(Path(folder) / FACTS, Facts.from_json)
        present = np.flatnonzero(facts.counts).tolist()
        return GenerativeClassifier({one: self.model.load(_folder(Path(folder), one)) for one in present}, facts)


class GenerativeClassifier:
    """A language model a class; see `lmtool.api.Classifier`.

    Args:
        models: By the ids of their classes.
        facts: Of all classes.
    """

    multi_label = False

    def __init__(self, models: Mapping[int, LanguageModel], facts: Facts) -> None:
        self.models, self._facts = dict(models), facts
        self.vocab_size, self.labels = facts.vocab_size, facts.labels

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        present = list(self.models)
        joint = np.stack([document_log_probs(model, documents) for model in self.models.values()], axis=1)
        joint += self._facts.log_priors[present]
        log_probs = np.empty((len(documents), len(self.labels)))
        log_probs[:] = self._facts.log_priors  # all that is known of classes without a document
        known = np.logaddexp.reduce(self._facts.log_priors[present])
        log_probs[:, present] = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True) + known
        return log_probs

    def save(self, folder: Path) -> None:
        """Write `generative.json`, and each class's model into a folder `class-ID`."""
        write_facts(folder / FACTS, self._facts.to_json())
        for one, model in self.models.items():
            _folder(folder, one).mkdir()
            model.save(_folder(folder, one))


def document_log_probs(model: LanguageModel, documents: Sequence[Document]) -> np.ndarray:
    """Log-probability of each whole document, float64 [D], in nats; 0 for one without ids."""
    lengths = np.array([len(one.ids) for one in documents], np.int64)
    total = np.zeros(len(documents))
    if not lengths.sum():
        return total
    if not model.stateful:  # each line starts anew, so that documents may follow each other in one stream
        ids = np.concatenate([one.ids for one in documents])
        log_probs, _ = model.score(ids[None], model.initial_state(1))
        number = np.repeat(np.arange(len(documents)), lengths)
        return np.bincount(number, np.asarray(log_probs[0], np.float64), minlength=len(documents))
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        total[rows] = _side_by_side(model, [documents[row].ids for row in rows])
    return total


def _side_by_side(model: LanguageModel, documents: Sequence[np.ndarray]) -> np.ndarray:
    """As above, for a few documents, each in a stream of its own; what stands behind its end is not counted."""
    longest = max(len(ids) for ids in documents)
    width = -(-longest // WINDOW) * WINDOW
    ids, real = np.zeros((len(documents), width), np.int32), np.zeros((len(documents), width), bool)
    for row, one in enumerate(documents):
        ids[row, : len(one)], real[row, : len(one)] = one, True
    total, state = np.zeros(len(documents)), model.initial_state(len(documents))
    for start in range(0, width, WINDOW):
        log_probs, state = model.score(ids[:, start : start + WINDOW], state)
        total += np.where(real[:, start : start + WINDOW], np.asarray(log_probs, np.float64), 0.0).sum(axis=1)
    return total


def _folder(folder: Path, one: int) -> Path:
    return folder / f"class-{one}"


__all__ = ["Generative", "GenerativeClassifier", "document_log_probs"]
