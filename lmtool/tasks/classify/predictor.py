"""A trained network as a `Classifier`: exact in float32, few compiled shapes, bounded memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.facts import read_facts, write_facts
from lmtool.tasks import stored
from lmtool.tasks.buckets import assign
from lmtool.tasks.classify.documents import Cutter
from lmtool.tasks.classify.network import ClassifierNetwork
from lmtool.tasks.files import FACTS
from lmtool.tasks.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmtool.api import Backbone, Document
    from lmtool.array_types import Stream
    from lmtool.tasks.classify.config import ClassifyConfig

    Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
    """Numbers of windows [up to B], their ids [B, T] and mask."""

POSITIONS = 1 << 14
"""Positions [B, T] that are computed at once; B depends on the width alone, so that a document's shape does not depend
on those beside it, and neither do the last bits of what is said of it."""
MOST_ROWS = 32


@dataclass(frozen=True)
class Facts:
    """What a classifier knows besides its weights."""

    vocab_size: int
    eos_id: int
    labels: tuple[str, ...]
    multi_label: bool
    widths: tuple[int, ...]
    """To which documents are padded; ascending."""

    @classmethod
    def parse(cls, values: Any) -> Facts:
        labels, widths = tuple(map(str, values["labels"])), tuple(map(int, values["widths"]))
        if not labels or not widths:
            raise ValueError("no classes or no widths")
        return cls(int(values["vocab_size"]), int(values["eos_id"]), labels, bool(values["multi_label"]), widths)


class Functions:
    """The network's compiled functions, shared by all predictors of it."""

    def __init__(self, network: ClassifierNetwork) -> None:
        self.network = network
        self.log_probs = jax.jit(self._log_probs, static_argnames="multi_label")
        self.attribution = jax.jit(self._attribution, static_argnames="multi_label")

    def _log_probs(self, params: Any, inputs: jax.Array, mask: jax.Array, *, multi_label: bool) -> jax.Array:
        # TPUs and recent GPUs multiply float32 with fewer bits unless told otherwise.
        with jax.default_matmul_precision("highest"):
            logits: jax.Array = self.network.apply(params, inputs, mask, train=False)
        return jax.nn.log_sigmoid(logits) if multi_label else jax.nn.log_softmax(logits)

    def _attribution(self, params: Any, inputs: jax.Array, mask: jax.Array, *, multi_label: bool) -> jax.Array:
        x = self.network.apply(params, inputs, method="embed")

        def chosen(x: jax.Array) -> jax.Array:
            logits = self.network.apply(params, x, mask, method="classify")
            log_probs = jax.nn.log_sigmoid(logits) if multi_label else jax.nn.log_softmax(logits)
            return log_probs.max(axis=1).sum()

        return jnp.sum(jax.grad(chosen)(x) * x, axis=-1)


class NeuralClassifier:
    """See `lmtool.api.Classifier`. Of a document that is read in several windows, it gives the mean of their
    probabilities."""

    def __init__(self, functions: Functions, params: Any, facts: Facts) -> None:
        self.functions, self.params, self.facts = functions, params, facts
        self.vocab_size, self.labels, self.multi_label = facts.vocab_size, facts.labels, facts.multi_label
        self._cutter = Cutter.of(functions.network.config, facts.eos_id)

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        windows = [self._cutter.windows(document.ids) for document in documents]
        flat = [window for one in windows for window in one]
        out = np.zeros((len(flat), len(self.labels)), np.float64)
        for numbers, found in side_by_side(self._some_log_probs, self._batches(flat)):
            out[numbers] = found[: len(numbers)]
        return _means(_normalised(out, self.multi_label), [len(one) for one in windows])

    def _some_log_probs(self, inputs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(self.functions.log_probs(self.params, inputs, mask, multi_label=self.multi_label), np.float64)

    def attribute(self, documents: Sequence[Document]) -> list[np.ndarray]:
        """How much each id of what is read speaks for the likeliest class: the gradient of its log-probability with
        respect to the embedded id, times that; float32 [N] for the first window of each document. Line ends that are
        left out weigh nothing, in a document that is read as a whole otherwise.

        References:
            Simonyan et al., "Deep inside convolutional networks", 2014; Shrikumar et al., "Not just a black box", 2016.
        """
        windows = [self._cutter.windows(document.ids)[0] for document in documents]
        out = [np.zeros(0, np.float32)] * len(windows)
        for numbers, inputs, mask in self._batches(windows):
            found = np.asarray(self.functions.attribution(self.params, inputs, mask, multi_label=self.multi_label))
            for row, number in enumerate(numbers):
                out[number] = found[row, : len(windows[number])]
        return [self._with_line_ends(document.ids, one) for document, one in zip(documents, out, strict=True)]

    def _with_line_ends(self, ids: Stream, weights: np.ndarray) -> np.ndarray:
        """Zeros where ends of lines were left out, if nothing else was."""
        is_read = ids != self.facts.eos_id
        if self._cutter.line_ends or len(weights) != is_read.sum():
            return weights
        every = np.zeros(len(ids), np.float32)
        every[is_read] = weights
        return every

    def _batches(self, windows: list[Stream]) -> Iterator[Batch]:
        """In shapes that depend on the widths alone."""
        lengths = np.array([len(window) for window in windows])
        widths = (*self.facts.widths, *_longer(self.facts.widths[-1], self._cutter.max_length))
        buckets = assign(lengths, widths)
        for bucket in np.unique(buckets):
            members, width = np.flatnonzero(buckets == bucket), widths[bucket]
            rows = max(1, min(MOST_ROWS, POSITIONS // width))
            for start in range(0, len(members), rows):
                numbers = members[start : start + rows]
                yield numbers, *_padded([windows[number] for number in numbers], rows, width, self.facts.eos_id)

    def with_params(self, params: Any) -> NeuralClassifier:
        return NeuralClassifier(self.functions, params, self.facts)

    def save(self, folder: Path) -> None:
        """`weights.safetensors`, its names the paths in the parameters (`backbone.layer_0_bias`), and `model.json`."""
        # Written by Python, so that a full disk is an OSError as everywhere.
        (folder / stored.WEIGHTS).write_bytes(stored.to_safetensors(self.params))
        write_facts(folder / FACTS, asdict(self.facts))


def _longer(widest: int, max_length: int) -> list[int]:
    """Widths for documents longer than any that was trained on."""
    widths = []
    while widest < max_length:
        widest = min(2 * widest, max_length)
        widths.append(widest)
    return widths


def _padded(windows: list[Stream], rows: int, width: int, eos_id: int) -> tuple[np.ndarray, np.ndarray]:
    inputs = np.full((rows, width), eos_id, np.int32)
    mask = np.zeros((rows, width), bool)
    mask[:, 0] = True
    for row, window in enumerate(windows):
        inputs[row, : len(window)] = window
        mask[row, : len(window)] = True
    return inputs, mask


def _normalised(log_probs: np.ndarray, multi_label: bool) -> np.ndarray:
    """Probabilities that sum to one in float64, too."""
    if multi_label or not log_probs.size:
        return log_probs
    top = log_probs.max(axis=1, keepdims=True)
    normalised: np.ndarray = log_probs - top - np.log(np.exp(log_probs - top).sum(axis=1, keepdims=True))
    return normalised


def _means(log_probs: np.ndarray, counts: list[int]) -> np.ndarray:
    """Mean probability of each document's windows, in nats: [W, C] to [D, C]."""
    if all(count == 1 for count in counts):
        return log_probs
    starts = np.cumsum([0, *counts[:-1]])
    total = np.logaddexp.reduceat(log_probs, starts, axis=0)
    means: np.ndarray = total - np.log(np.array(counts, np.float64))[:, None]
    return means


def load_classifier(folder: Path, config: ClassifyConfig, backbone: Backbone) -> NeuralClassifier:
    """What `NeuralClassifier.save` wrote. Raises DataError if a file is missing, damaged, or another network's."""
    facts = read_facts(folder / FACTS, Facts.parse)
    network = ClassifierNetwork(config, facts.vocab_size, len(facts.labels), backbone)
    params = stored.as_params(folder, stored.read_tensors(folder), network)
    return NeuralClassifier(Functions(network), params, facts)


__all__ = ["Facts", "Functions", "NeuralClassifier", "load_classifier"]
