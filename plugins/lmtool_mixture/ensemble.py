"""Several language models that read the same text side by side, each with a state of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.api import LanguageModel


class State(NamedTuple):
    """What each part has read."""

    parts: tuple[Any, ...]


class Ensemble:
    """The parts of a mixture, in order.

    A state is that of each part: one that carries its state over line ends goes on with it, while another starts each
    line anew by its own contract.

    Args:
        models: At least one, of one tokenizer.
    """

    def __init__(self, models: Sequence[LanguageModel]) -> None:
        self.models = tuple(models)
        self.size = len(self.models)
        self.vocab_size = self.models[0].vocab_size
        self.stateful = any(model.stateful for model in self.models)

    def initial_state(self, batch_size: int) -> State:
        return State(tuple(model.initial_state(batch_size) for model in self.models))

    def score(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """What each part gives to each token: float64 [P, B, T], nats, and the state after the last."""
        scored = [model.score(ids, one) for model, one in zip(self.models, state.parts, strict=True)]
        log_probs = np.stack([np.asarray(one, np.float64) for one, _ in scored])
        return log_probs, State(tuple(after for _, after in scored))

    def next_log_probs(self, state: State) -> np.ndarray:
        """What each part expects: float64 [P, B, V], nats."""
        expected = [model.next_log_probs(one) for model, one in zip(self.models, state.parts, strict=True)]
        return np.stack([np.asarray(one, np.float64) for one in expected])
