"""Documents and their classes: the contracts of classifiers, of their predictions, and of augmentations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document, as ids and as it was written: a classifier reads whichever it needs."""

    ids: Stream
    """int32 [N], the tokenizer's, `eos_id` after each line."""
    text: str
    """Lines joined by `\\n`, without the last line's end."""


class Classifier(Protocol):
    """A trained classifier, as `eval` and `predict` see it: a network, a linear model or counts, nobody can tell.

    Threads may call `log_probs` at once.
    """

    vocab_size: int
    """Of the ids that it was trained on."""
    labels: tuple[str, ...]
    """Names of the C classes, in the order of the columns of `log_probs`."""
    multi_label: bool
    """False if each document has one class; True if it may have any number of them."""

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        """How likely each class is: float64 [D, C], in nats.

        The exponentials of a row sum to one, unless `multi_label`: then each entry is the log-probability that the
        document has that label. What is said of a document does not depend on those beside it.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder: arrays as `.npz`/`.safetensors`, the rest as JSON. Never a pickle."""
        ...


class FittedClassifier(Protocol):
    """A classifier that is estimated at once instead of taking steps; capabilities `fitted` and `classifier`.

    Made by `target(config)`. What `lmtool.api.FittedModel` says holds, with a `Classifier` in the place of the language
    model.
    """

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> Classifier:
        """Estimate from the documents of `dataset.split("train")` and their labels alone.

        Raises:
            DataError: if the dataset has no labels.
        """
        ...

    def load(self, folder: Path) -> Classifier:
        """What `Classifier.save` wrote. Raises DataError if it is damaged."""
        ...


@dataclass(frozen=True, slots=True)
class ClassPredictions:
    """What a classifier gave to some documents, D of them."""

    log_probs: np.ndarray
    """float64 [D, C], nats; see `Classifier.log_probs`."""
    targets: np.ndarray
    """int64 [D], the true class of each document; bool [D, C] if it may have any number of them."""
    labels: tuple[str, ...]

    @property
    def multi_label(self) -> bool:
        return self.targets.ndim == 2

    @property
    def predicted(self) -> np.ndarray:
        """The most likely class, int64 [D], the first of equals; bool [D, C], those with probability 1/2 or more."""
        import numpy as np

        if self.multi_label:
            return np.asarray(self.log_probs >= np.log(0.5))
        return np.asarray(self.log_probs.argmax(axis=1))


class Augmentation(Protocol):
    """Changes a training document a little, so that it counts as another. Made by `target(config, dataset=Dataset)`.

    It may learn from the dataset's training split (say, how frequent words are), never from another one.
    """

    def __call__(self, ids: Stream, rng: np.random.Generator) -> Stream:
        """Another document with the same label: a pure function of its arguments.

        Args:
            ids: int32 [N], `eos_id` after each line; not to be changed in place.
            rng: The only source of chance.

        Returns:
            int32 [M], with the same line ends; M may differ from N.
        """
        ...


__all__ = ["Augmentation", "ClassPredictions", "Classifier", "Document", "FittedClassifier"]
