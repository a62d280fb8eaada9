"""Language modelling: the mean negative log-likelihood of each token given those before it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.errors import ConfigError
from lmtool.sharding import sum_over_rows
from lmtool.tasks.depths import param_depths
from lmtool.tasks.functions import Functions
from lmtool.tasks.network import PENALTIES, LanguageModelNetwork, with_gradient_of
from lmtool.tasks.output import FullSoftmax
from lmtool.tasks.output_choice import learn_output_layer
from lmtool.tasks.predictor import NeuralLanguageModel, load_predictor
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
    from lmtool.tasks.output import OutputLayer


class LanguageModelling:
    """The `lm` task; see `lmtool.api.Task`."""

    def __init__(self, config: LMConfig, *, dataset: Dataset, backbone: Backbone, training: TrainingConfig) -> None:
        _check_causal(backbone)
        split = dataset.split("train")
        self.num_data = split.num_tokens
        self.batch_size = training.batch_size
        self.tied, self.label_smoothing = config.tied, config.label_smoothing
        self.windows = Windows(
            split, batch_size=training.batch_size, bptt=training.bptt, seed=training.seed, shift=config.shift
        )
        tokenizer = dataset.tokenizer
        size = config.embedding_size or backbone.features
        self.output = learn_output_layer(config, tokenizer.vocab_size, size, split)
        self.network = LanguageModelNetwork(config, self.output, backbone, training.precision)
        self._eos_id = tokenizer.eos_id

    def use_output(self, output: OutputLayer) -> None:
        """Another output layer with parameters of the same shapes; before anything else is asked of the task."""
        self.output = output
        self.network = self.network.clone(output=output)

    @property
    def steps_per_epoch(self) -> int:
        return self.windows.steps_per_epoch

    def init(self, key: Key) -> Any:
        return self.network.init_params(key)

    def initial_carry(self) -> Any:
        return self.network.initial_carry(self.batch_size)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return self.windows.batch(step)

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """See `lmtool.api.Task`. Its gradient is that of the loss and all penalties, label smoothing among them, its
        value that of the loss alone: what is reported stays nats per token."""
        inputs, targets, mask = batch["inputs"], batch["targets"], batch["mask"]
        dropout_key, sampling_key = jax.random.split(key)
        (h, carry), sown = self.network.apply(
            params, inputs, mask, carry, train=True, rngs={"dropout": dropout_key}, mutable=[PENALTIES]
        )
        num_targets = mask.sum()
        importance = mask.astype(jnp.float32) / jnp.maximum(num_targets, 1).astype(jnp.float32)
        weights = self.network.apply(params, method="output_weights")
        rows = (h.reshape(targets.size, -1), targets.reshape(-1), importance.reshape(-1))
        nll = sum_over_rows(self._nll, rows=(1, 2, 3))(weights, *rows, sampling_key)
        penalty = sum(jax.tree.leaves(sown), start=jnp.zeros(()))
        if self.label_smoothing:
            assert isinstance(self.output, FullSoftmax)
            penalty = penalty + self.label_smoothing * self.output.smoothing(weights, *rows)
        return with_gradient_of(nll, penalty), (carry, num_targets)

    def _nll(self, weights: Any, h: jax.Array, targets: jax.Array, importance: jax.Array, key: Key) -> jax.Array:
        return self.output.nll(weights, h, targets, importance, key=key)

    def param_depths(self, params: Any) -> Any:
        """A tied embedding lies at the top, beside the rest of the output layer that it is a part of."""
        return param_depths(params, bottom=() if self.tied else ("embedding",))

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self.network, self._eos_id)

    def predictor(self, params: Any) -> NeuralLanguageModel:
        return NeuralLanguageModel(self._functions, params)

    @classmethod
    def load(cls, folder: Path, config: LMConfig, *, backbone: Backbone) -> NeuralLanguageModel:
        _check_causal(backbone)
        return load_predictor(folder, config, backbone)


def _check_causal(backbone: Backbone) -> None:
    if not getattr(backbone, "causal", True):
        raise ConfigError(
            f"a language model must not see the tokens that it predicts, but this {type(backbone).__name__} does: "
            "it is not causal",
            hint="choose settings under [model] that read from left to right only",
        )
