"""The embedding bag: training it on a data set, and the trained classifier."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.encoding import available_cores
from lmtool.errors import DataError
from lmtool_bag import storage
from lmtool_bag.config import BagConfig
from lmtool_bag.features import Features, learn_features
from lmtool_bag.scoring import Scorer, averaged
from lmtool_bag.training import Labels, Weights, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmtool.api import Document
    from lmtool.data.dataset import Dataset
    from lmtool_bag.features import Bags


class EmbeddingBag:
    """Trains embedding bags; see `lmtool.api.FittedClassifier`."""

    def __init__(self, config: BagConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> BagClassifier:
        """Find the features of the training documents and train the members.

        Raises:
            DataError: if the dataset has no labels, or nothing that is frequent enough.
        """
        labels = labels_of(dataset)
        progress("reading", 0.0)
        documents = dataset.split("train").documents()
        facts = storage.Facts(dataset.label_names, dataset.multi_label, dataset.vocab_size, dataset.eos_id)
        return fit_documents(documents, labels, self.config, facts, lambda done: progress("training", done))

    def load(self, folder: Path) -> BagClassifier:
        """Raises DataError if it is damaged."""
        return BagClassifier(self.config, *storage.load(Path(folder), self.config))


class BagClassifier:
    """A trained bag; see `lmtool.api.Classifier`. Nothing in it ever changes."""

    def __init__(self, config: BagConfig, features: Features, scorer: Scorer, facts: storage.Facts) -> None:
        self.config, self.features, self.scorer, self._facts = config, features, scorer, facts
        self.labels, self.multi_label, self.vocab_size = facts.labels, facts.multi_label, facts.vocab_size

    @property
    def facts(self) -> dict[str, Any]:
        """What a run notes of it."""
        return {"features": len(self.features)}

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        parts = [self.scorer.log_probs(bags, multi_label=self.multi_label) for bags in self.features.bags(documents)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.labels)))

    def save(self, folder: Path) -> None:
        """Write `bag.npz` and `bag.json`; see `lmtool_bag.storage`."""
        storage.save(Path(folder), self.features, self.scorer, self._facts)


def labels_of(dataset: Dataset) -> Labels:
    """Of the training documents. Raises DataError if there are none."""
    classes, split = len(dataset.label_names), dataset.split("train")
    if dataset.multi_label:
        documents, ids = np.nonzero(split.label_matrix)
        starts = np.searchsorted(documents, np.arange(split.num_documents + 1))
    else:
        ids = split.label_ids
        starts = np.arange(len(ids) + 1)
    return Labels(ids.astype(np.int32), starts.astype(np.int64), classes, dataset.multi_label)


def fit_documents(
    documents: Iterator[Document],
    labels: Labels,
    config: BagConfig,
    facts: storage.Facts,
    progress: Callable[[float], None] = lambda done: None,
) -> BagClassifier:
    """A classifier of documents, in the order of `labels`. Raises DataError if they have no features."""
    features, bags = learn_features(documents, config, facts.eos_id)
    if not len(features):
        what = f"no word stands in {config.min_count} training documents" if len(bags) else "there are no documents"
        raise DataError(f"nothing to train on: {what}", hint="model.min_count = 1 takes every word")
    scorer = averaged(_trained(bags, labels, config, len(features), progress), config.members)
    return BagClassifier(config, features, scorer, facts)


def _trained(
    bags: Bags, labels: Labels, config: BagConfig, features: int, progress: Callable[[float], None]
) -> Iterator[Weights]:
    """The members in order, several trained at once; each is what it would be alone."""
    done, lock, stopped = [0.0] * config.members, threading.Lock(), threading.Event()

    def one(member: int) -> Weights:
        def report(fraction: float) -> None:
            if stopped.is_set():
                raise InterruptedError
            with lock:
                done[member] = fraction
                progress(sum(done) / config.members)

        weights = train(bags, labels, config, features, member, report, cores // threads)
        report(1.0)
        return weights

    cores = config.threads or available_cores()
    threads = min(cores, config.members)
    with ThreadPoolExecutor(threads, thread_name_prefix="bag") as pool:
        # No more are begun than are being added up, since each is as large as the whole model.
        waiting = [pool.submit(one, member) for member in range(threads)]
        try:
            for member in range(threads, config.members + threads):
                yield waiting.pop(0).result()
                if member < config.members:
                    waiting.append(pool.submit(one, member))
        finally:
            stopped.set()


__all__ = ["BagClassifier", "EmbeddingBag", "fit_documents", "labels_of"]
