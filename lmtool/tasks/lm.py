"""Language modelling: the mean negative log-likelihood of each token given those before it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.tasks.network import LanguageModelNetwork
from lmtool.tasks.predictor import Functions, NeuralLanguageModel, read_facts, read_weights
from lmtool.tasks.softmax import weighted_nll
from lmtool.tasks.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from lmtool.api import Backbone
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset
    from lmtool.tasks.config import LMConfig


class LanguageModelling:
    """The `lm` task; see `lmtool.api.Task`."""

    def __init__(self, config: LMConfig, *, dataset: Dataset, backbone: Backbone, training: TrainingConfig) -> None:
        split = dataset.split("train")
        self.num_data = split.num_tokens
        self.batch_size = training.batch_size
        self.windows = Windows(
            split, batch_size=training.batch_size, bptt=training.bptt, seed=training.seed, shift=config.shift
        )
        tokenizer = dataset.tokenizer
        self.network = LanguageModelNetwork(config, tokenizer.vocab_size, backbone)
        self._eos_id = tokenizer.eos_id

    @property
    def steps_per_epoch(self) -> int:
        return self.windows.steps_per_epoch

    def init(self, key: Key) -> Any:
        return _init(self.network, key)

    def initial_carry(self) -> Any:
        return self.network.initial_carry(self.batch_size)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return self.windows.batch(step)

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        inputs, targets, mask = batch["inputs"], batch["targets"], batch["mask"]
        h, carry = self.network.apply(params, inputs, mask, carry, train=True, rngs={"dropout": key})
        num_targets = mask.sum()
        weights = mask.astype(jnp.float32) / jnp.maximum(num_targets, 1).astype(jnp.float32)
        output_layer = self.network.apply(params, method="output_layer")
        rows = (h.reshape(targets.size, -1), *output_layer, targets.reshape(-1), weights.reshape(-1))
        return weighted_nll(*rows), (carry, num_targets)

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self.network, self._eos_id)

    def predictor(self, params: Any) -> NeuralLanguageModel:
        return NeuralLanguageModel(self._functions, params)

    @classmethod
    def load(cls, folder: Path, config: LMConfig, *, backbone: Backbone) -> NeuralLanguageModel:
        facts = read_facts(folder)
        network = LanguageModelNetwork(config, facts["vocab_size"], backbone)
        expected = jax.eval_shape(lambda key: _init(network, key), jax.random.key(0))
        return NeuralLanguageModel(Functions(network, facts["eos_id"]), read_weights(folder, expected["params"]))


def _init(network: LanguageModelNetwork, key: Key) -> Any:
    ids = jnp.zeros((1, 1), jnp.int32)
    carry = network.initial_carry(1)

    def whole(module: LanguageModelNetwork) -> jax.Array:
        h: jax.Array = module(ids, None, carry, train=False)[0]
        return h

    return network.init(key, method=whole)
