"""A trained network as a `LanguageModel`: exact log-probabilities in float32, few compiled shapes, bounded memory."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.errors import DataError
from lmtool.facts import read_facts, write_facts
from lmtool.tasks import stored, weights_out
from lmtool.tasks.adaptation import score_and_gradient
from lmtool.tasks.files import FACTS
from lmtool.tasks.functions import Functions, State
from lmtool.tasks.network import LanguageModelNetwork
from lmtool.tasks.output_choice import load_output_layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmtool.api import Backbone, Tokenizer
    from lmtool.tasks.config import LMConfig

LONGEST_WINDOW = 256
"""Time steps that are computed at once; longer texts go through window by window."""
CONSTANTS = {"ranks"}
"""Names among the stored weights that are not weights; see `OutputLayer.constants`."""


class NeuralLanguageModel:
    """See `lmtool.api.LanguageModel`. Its state runs on over line ends."""

    export_formats = weights_out.FORMATS

    def __init__(self, functions: Functions, params: Any) -> None:
        self.functions, self.params = functions, params
        self.vocab_size = functions.network.vocab_size
        self.stateful = True

    def initial_state(self, batch_size: int) -> State:
        carry = self.functions.network.initial_carry(batch_size)
        return State(carry, jnp.full((batch_size,), self.functions.eos_id, jnp.int32))

    def score(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        log_probs, state = self._in_windows(self.functions.score, ids, state)
        return log_probs, state

    def score_hidden(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """As `score`, with float [B, T, E] between: what the output layer read to predict each token."""
        log_probs, hidden, state = self._in_windows(self.functions.score_hidden, ids, state)
        return log_probs, hidden, state

    def _in_windows(self, function: Callable[..., Any], ids: np.ndarray, state: State) -> tuple[Any, ...]:
        """Arrays [B, T, …] put together from windows of up to `LONGEST_WINDOW` steps, and the state."""
        windows = []
        for start in range(0, max(ids.shape[1], 1), LONGEST_WINDOW):
            *arrays, state = self._window(function, ids[:, start : start + LONGEST_WINDOW], state)
            windows.append(arrays)
        return *(
            np.concatenate([np.asarray(one) for one in parts], axis=1) for parts in zip(*windows, strict=True)
        ), state

    def _window(self, function: Callable[..., Any], ids: np.ndarray, state: State) -> tuple[Any, ...]:
        """Padded to a power of two, so that few shapes are compiled; without a single step the state stays as it is."""
        length = ids.shape[1]
        padding = (1 << max(length - 1, 0).bit_length()) - length
        padded = np.pad(np.asarray(ids, np.int32), ((0, 0), (0, padding)))
        mask = np.broadcast_to(np.arange(length + padding) < length, padded.shape)
        *arrays, after = function(self.params, state, padded, mask)
        return *(one[:, :length] for one in arrays), after if length else state

    def next_log_probs(self, state: State) -> np.ndarray:
        return np.asarray(self.functions.next_log_probs(self.params, state))

    def with_params(self, params: Any) -> NeuralLanguageModel:
        return NeuralLanguageModel(self.functions, params)

    def score_and_gradient(self, params: Any, ids: jax.Array, state: State) -> tuple[jax.Array, Any, State]:
        return score_and_gradient(self.functions, params, ids, state)

    def export(self, format: str, file: IO[bytes], tokenizer: Tokenizer) -> None:
        file.write(weights_out.export(format, self.functions.network, self.params, tokenizer))

    def save(self, folder: Path) -> None:
        """`weights.safetensors`, its names the paths in the parameters (`backbone.layer_0_bias`), and `model.json`.

        The output layer's constants stand among the weights.
        """
        # Written by Python, so that a full disk is an OSError as everywhere.
        data = stored.to_safetensors(self.params, self.functions.network.output.constants())
        (folder / stored.WEIGHTS).write_bytes(data)
        write_facts(folder / FACTS, {"vocab_size": self.vocab_size, "eos_id": self.functions.eos_id})


def _parse(values: Any) -> dict[str, int]:
    return {"vocab_size": int(values["vocab_size"]), "eos_id": int(values["eos_id"])}


def load_predictor(folder: Path, config: LMConfig, backbone: Backbone) -> NeuralLanguageModel:
    """What `NeuralLanguageModel.save` wrote.

    Args:
        folder: Where it lies.
        config: Of the task that trained it.
        backbone: As it was trained.

    Raises:
        DataError: if a file is missing, damaged, or made for another network.
    """
    facts = read_facts(folder / FACTS, _parse)
    weights = stored.read_tensors(folder)
    constants = {name: weights.pop(name) for name in CONSTANTS & weights.keys()}
    size = config.embedding_size or backbone.features
    output = load_output_layer(config, facts["vocab_size"], size, constants)
    if output is None:
        path = folder / stored.WEIGHTS
        raise DataError(f"{path} is damaged, or made for another task.softmax than '{config.softmax}'")
    network = LanguageModelNetwork(config, output, backbone)
    return NeuralLanguageModel(Functions(network, facts["eos_id"]), stored.as_params(folder, weights, network))
