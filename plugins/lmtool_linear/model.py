"""The linear model: fitted to a dataset's labelled documents, and in use."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lmtool.data.folds import folds_of
from lmtool.data.labels import check_classes
from lmtool.errors import DataError
from lmtool.facts import read_facts, write_facts
from lmtool_linear.config import LinearConfig
from lmtool_linear.features import Features
from lmtool_linear.sharpness import best_temperature, log_probs_of
from lmtool_linear.weights import Vectors, Weights, class_weights, fit_classes, fit_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import Document
    from lmtool.data.dataset import Dataset

ENOUGH = 2000
"""Held-out documents that a single number, the temperature, is measured on; more folds than that takes are left out."""
FACTS, TERMS, ARRAYS = "linear.json", "terms.json", "linear.safetensors"


class Linear:
    """Fits linear classifiers; see `lmtool.api.FittedClassifier`."""

    def __init__(self, config: LinearConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> LinearClassifier:
        """Count, weigh and separate the training documents.

        Raises:
            DataError: if there are no labels, or no n-gram is frequent enough.
            ConfigError: if the settings speak of a class that there is not.
        """
        labels, split = dataset.label_names, dataset.split("train")
        y = split.label_matrix if dataset.multi_label else split.label_ids
        if isinstance(self.config.class_weights, dict):
            check_classes("model.class_weights", self.config.class_weights, labels)
        progress("counting n-grams", 0.0)
        features = Features(self.config, dataset.eos_id)
        x = features.fit(list(split.documents()))
        with warnings.catch_warnings():
            # A hundred passes more change nothing that a held-out document would show.
            warnings.simplefilter("ignore", ConvergenceWarning)
            progress("separating classes", 0.4)
            weights = self._weights(x, y, labels)
            progress("measuring probabilities", 0.7)
            temperature = self._temperature(x, y, labels)
        unseen = np.flatnonzero(~np.isfinite(weights.offset)).tolist()
        facts = {"vocab_size": dataset.vocab_size, "eos_id": dataset.eos_id, "labels": list(labels),
                 "multi_label": dataset.multi_label, "temperature": temperature,
                 "num_documents": len(y), "unseen": unseen}  # fmt: skip
        return LinearClassifier(self.config, features, weights, facts)

    def _weights(self, x: Vectors, y: np.ndarray, labels: Sequence[str]) -> Weights:
        counts = class_weights(self.config, y, labels)
        if y.ndim == 2:
            return fit_labels(self.config, x, y, counts)
        return fit_classes(self.config, x, y, counts, len(labels))

    def _temperature(self, x: Vectors, y: np.ndarray, labels: Sequence[str]) -> float:
        """1 for what gives probabilities by itself."""
        if self.config.classifier == "logistic" and not self.config.nb_features:
            return 1.0
        fold = folds_of(y, self.config.folds, self.config.seed)
        decisions, truths = np.zeros((0, len(labels))), y[:0]
        for one in range(self.config.folds):
            held_out = fold == one
            if held_out.any() and not held_out.all() and len(truths) < ENOUGH:
                weights = self._weights(x[~held_out], y[~held_out], labels)
                decisions = np.concatenate([decisions, weights.decide(x[held_out])])
                truths = np.concatenate([truths, y[held_out]])
        return best_temperature(decisions, truths)

    def load(self, folder: Path) -> LinearClassifier:
        """Raises DataError if it is damaged."""
        return LinearClassifier.load(Path(folder), self.config)


class LinearClassifier:
    """A fitted linear classifier; see `lmtool.api.Classifier`. Nothing in it ever changes.

    Args:
        config: What it was fitted with.
        features: Fitted.
        weights: Of the C classes.
        facts: JSON values: `vocab_size`, `eos_id`, `labels`, `multi_label`, `temperature`, `num_documents`, and
            `unseen`, the classes that no training document had.
    """

    def __init__(self, config: LinearConfig, features: Features, weights: Weights, facts: dict[str, Any]) -> None:
        self.config, self.features, self.weights = config, features, weights
        self._facts = facts
        self.vocab_size = int(facts["vocab_size"])
        self.labels = tuple(map(str, facts["labels"]))
        self.multi_label = bool(facts["multi_label"])

    @property
    def facts(self) -> dict[str, Any]:
        """What a run notes of it."""
        return {"features": self.features.size, "temperature": self._facts["temperature"]}

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        if not documents:
            return np.zeros((0, len(self.labels)))
        decisions = self.weights.decide(self.features.transform(documents))
        log_probs = log_probs_of(decisions, self._facts["temperature"], multi_label=self.multi_label)
        if unseen := self._facts["unseen"]:
            # As if one document more of each such class had been seen, which tells nothing of its words.
            total = self._facts["num_documents"] + len(unseen)
            log_probs += np.log1p(-len(unseen) / total)
            log_probs[:, unseen] = -np.log(total)
        return log_probs

    def save(self, folder: Path) -> None:
        """Write facts and n-grams as JSON, arrays as `.safetensors`."""
        from safetensors.numpy import save_file

        write_facts(folder / FACTS, self._facts)
        (folder / TERMS).write_text(json.dumps(self.features.terms(), ensure_ascii=False), encoding="utf-8")
        arrays = {"matrix": self.weights.matrix, "offset": self.weights.offset, "idf": self.features.idf()}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)

    @classmethod
    def load(cls, folder: Path, config: LinearConfig) -> LinearClassifier:
        """Raises DataError naming the file that is missing or damaged."""
        facts = read_facts(folder / FACTS, dict)
        terms, arrays = _read(folder / TERMS, _json), _read(folder / ARRAYS, _arrays)
        try:
            features = Features.restore(config, facts["eos_id"], terms, arrays["idf"])
            weights = Weights(arrays["matrix"], arrays["offset"])
            if weights.matrix.shape != (len(facts["labels"]), features.size):
                raise ValueError(f"there are weights of shape {weights.matrix.shape}")
            return cls(config, features, weights, facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{folder} is damaged: {error}") from None


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except SafetensorError as error:
        raise ValueError(error) from None
    return arrays


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


__all__ = ["Linear", "LinearClassifier"]
