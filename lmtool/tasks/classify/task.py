"""Classification: the mean negative log-likelihood of each document's class."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.data.labels import check_classes
from lmtool.errors import ConfigError
from lmtool.tasks.classify.batches import Batches
from lmtool.tasks.classify.documents import Cutter
from lmtool.tasks.classify.network import ClassifierNetwork
from lmtool.tasks.classify.predictor import Facts, Functions, NeuralClassifier, load_classifier
from lmtool.tasks.network import PENALTIES, with_gradient_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmtool.api import Backbone
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset, Split
    from lmtool.tasks.classify.batches import Augment
    from lmtool.tasks.classify.config import ClassifyConfig


class Classification:
    """The `classify` task; see `lmtool.api.Task`. Its documents are independent, so it has no carry."""

    unit = "documents"

    def __init__(
        self,
        config: ClassifyConfig,
        *,
        dataset: Dataset,
        backbone: Backbone,
        training: TrainingConfig,
        augment: Augment | None = None,
    ) -> None:
        if training.steps_per_dispatch > 1:
            raise ConfigError(
                f"training.steps_per_dispatch must be 1 in classification, got {training.steps_per_dispatch}: "
                "batches have several shapes"
            )
        split, tokenizer = dataset.split("train"), dataset.tokenizer
        self.config, self.labels, self.multi_label = config, dataset.label_names, dataset.multi_label
        self.num_data = split.num_documents
        self.batches = Batches(
            split,
            split.label_matrix.astype(np.float32) if self.multi_label else split.label_ids.astype(np.int32),
            Cutter.of(config, tokenizer.eos_id),
            batch_size=training.batch_size,
            seed=training.seed,
            max_padding=config.max_padding,
            augment=augment,
        )
        self.class_weights, self.absent_weights = _class_weights(config, split, self.labels, self.multi_label)
        self.network = ClassifierNetwork(
            config, tokenizer.vocab_size, len(self.labels), backbone, precision=training.precision
        )
        self._vectors = _vectors(config, tokenizer, self.network.embedding_size) if config.vectors else None
        self._facts = Facts(tokenizer.vocab_size, tokenizer.eos_id, self.labels, self.multi_label, self.batches.widths)

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    def init(self, key: Key) -> Any:
        params = self.network.init_params(key)
        if self._vectors is not None:
            table, found = self._vectors
            params["params"]["embedding"] = jnp.where(found[:, None], table, params["params"]["embedding"])
        return params

    def initial_carry(self) -> Any:
        return ()

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return self.batches.batch(step)

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """See `lmtool.api.Task`: nats per document, smoothed and weighted as the config says. What a backbone adds as a
        penalty is in the gradient, not in the value."""
        logits, sown = self.network.apply(
            params, batch["inputs"], batch["mask"], train=True, rngs={"dropout": key}, mutable=[PENALTIES]
        )
        nll = self._nll(logits, batch["targets"])
        real = batch["weights"]
        count = real.sum()
        loss = jnp.sum(nll * real) / jnp.maximum(count, 1.0)
        penalty = sum(jax.tree.leaves(sown), start=jnp.zeros(()))
        return with_gradient_of(loss, penalty), (carry, count.astype(jnp.int32))

    def _nll(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """float32 [B], in nats; of all labels together where there may be several."""
        weights, absent = jnp.asarray(self.class_weights), jnp.asarray(self.absent_weights)
        smoothing = self.config.label_smoothing
        if self.multi_label:
            wanted = targets * (1 - smoothing) + smoothing / 2
            per_label = wanted * jax.nn.log_sigmoid(logits) + (1 - wanted) * jax.nn.log_sigmoid(-logits)
            return -jnp.sum(per_label * jnp.where(targets > 0, weights[None], absent[None]), axis=-1)
        log_probs = jax.nn.log_softmax(logits)
        chosen = jnp.take_along_axis(log_probs, targets[:, None], axis=1)[:, 0]
        smoothed = (1 - smoothing) * chosen + smoothing * log_probs.mean(axis=1)
        return -weights[targets] * smoothed

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self.network)

    def predictor(self, params: Any) -> NeuralClassifier:
        return NeuralClassifier(self._functions, params, self._facts)

    @classmethod
    def load(cls, folder: Path, config: ClassifyConfig, *, backbone: Backbone) -> NeuralClassifier:
        return load_classifier(folder, config, backbone)


def _class_weights(
    config: ClassifyConfig, split: Split, labels: tuple[str, ...], multi_label: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Of a class, and of its absence where there may be several: float32 [C] each."""
    ones, documents = np.ones(len(labels), np.float32), split.num_documents
    if config.class_weights == "balanced":
        if multi_label:  # each label is a question of its own, with two answers
            counts = split.label_matrix.sum(axis=0)
            return _balanced(documents, 2, counts), _balanced(documents, 2, documents - counts)
        return _balanced(documents, len(labels), np.bincount(split.label_ids, minlength=len(labels))), ones
    check_classes("task.class_weights", config.class_weights, labels)
    return np.array([config.class_weights.get(label, 1.0) for label in labels], np.float32), ones


def _balanced(documents: int, answers: int, counts: np.ndarray) -> np.ndarray:
    weights: np.ndarray = (documents / (answers * np.maximum(counts, 1))).astype(np.float32)
    return weights


def _vectors(config: ClassifyConfig, tokenizer: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pretrained vectors float32 [V, E], and which tokens have one. Raises ConfigError if E is another."""
    from lmtool.tasks.classify.vectors import read_vectors

    assert config.vectors
    table, found = read_vectors(config.vectors, tokenizer.tokens(range(tokenizer.vocab_size)))
    if table.shape[1] != size:
        raise ConfigError(
            f"task.vectors: {config.vectors} has vectors of {table.shape[1]} numbers, task.embedding_size is {size}",
            hint=f"`--set task.embedding_size={table.shape[1]}`",
        )
    return table, found


__all__ = ["Classification"]
