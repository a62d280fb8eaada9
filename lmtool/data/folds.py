"""Documents spread over folds: evenly by class, equal texts together; and each fold as a dataset."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from lmtool.data.subset import write_subset
from lmtool.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lmtool.data.dataset import Dataset
    from lmtool.data.split import Split


def folds_of(y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Which fold each document is in, int [D]: at random, each class over all folds as evenly as can be.

    Args:
        y: int [D], the class of each; bool [D, C] where it may have several: then all are spread as one class.
        folds: How many.
        seed: Decides which.
    """
    fold = np.empty(len(y), np.int64)
    fold[_shuffled(y, seed)] = np.arange(len(y)) % folds
    return fold


def share_of(y: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A share of the documents, bool [D], at random: the same one of each class as near as can be."""
    chosen = np.empty(len(y), bool)
    numbers = np.arange(len(y))
    chosen[_shuffled(y, seed)] = np.floor((numbers + 1) * fraction) > np.floor(numbers * fraction)
    return chosen


class Folds:
    """The training documents of a dataset in K parts, each of which is the test text once.

    Documents with the same text are in the same part: one that was learned says nothing of how well others are known.
    The tokenizer stays that of the dataset: its vocabulary is that of all training documents.

    Args:
        dataset: With labels or targets; without labels, all documents are spread as one class.
        folds: K.
        seed: Decides which document is in which part.
        valid_fraction: Share of what is learned from that becomes the `valid` split; with 0 that of the dataset is
            taken, if it has one.

    Raises:
        DataError: if there is neither, or fewer documents than parts.
    """

    def __init__(self, dataset: Dataset, folds: int, *, seed: int, valid_fraction: float = 0.0) -> None:
        split = dataset.split("train")
        self._y = _classes(dataset, split)
        self._first = first_of_equals(split)
        self._dataset, self._seed, self._fraction = dataset, seed, valid_fraction
        unique = np.unique(self._first)
        if len(unique) < folds:
            raise DataError(f"{dataset.path} has {len(unique)} different training documents, fewer than {folds} folds")
        self.fold = self._for_all(unique, folds_of(self._y[unique], folds, seed))
        """int [D], the part of each document."""

    def write(self, fold: int, folder: Path) -> Dataset:
        """The dataset whose `test` split is one of the parts."""
        rest = self.fold != fold
        valid = np.zeros(len(rest), bool)
        if self._fraction:
            unique = np.unique(self._first[rest])
            valid = self._for_all(unique, share_of(self._y[unique], self._fraction, self._seed)) & rest
        splits: dict[str, tuple[str, np.ndarray]] = {"train": ("train", np.flatnonzero(rest & ~valid))}
        if self._fraction:
            splits["valid"] = ("train", np.flatnonzero(valid))
        elif "valid" in self._dataset.split_names:
            splits["valid"] = ("valid", np.arange(self._dataset.split("valid").num_documents))
        return write_subset(self._dataset, folder, splits | {"test": ("train", np.flatnonzero(~rest))})

    def _for_all(self, unique: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What holds of the first of equal documents, for all of them: [D]."""
        every = np.zeros(len(self._y), values.dtype)
        every[unique] = values
        return np.asarray(every[self._first])


def _classes(dataset: Dataset, split: Split) -> np.ndarray:
    """What `folds_of` takes."""
    if split.has_targets and not split.has_labels:
        return np.zeros(split.num_documents, np.int64)
    return split.label_matrix if dataset.multi_label else split.label_ids


def first_of_equals(split: Split) -> np.ndarray:
    """For each document the number of the first one with the same text, int [D]."""
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(one.text.encode(), digest_size=16).digest() for one in split.documents())
    return np.array([first.setdefault(digest, number) for number, digest in enumerate(digests)], np.int64)


def _shuffled(y: np.ndarray, seed: int) -> np.ndarray:
    """Numbers of documents, int [D], in random order, those of a class side by side."""
    order = np.random.default_rng(seed).permutation(len(y))
    return order if y.ndim == 2 else order[np.argsort(y[order], kind="stable")]


__all__ = ["Folds", "first_of_equals", "folds_of", "share_of"]
