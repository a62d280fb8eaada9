"""The parts of a mixture, which read the same text side by side, each with a state of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from lmtool_mixture.caches import Cache, History, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.api import HiddenStateModel, LanguageModel

NOBODY = -1


class Listener(NamedTuple):
    """A cache, and the model whose hidden states it compares."""

    cache: Cache
    to: int = NOBODY
    """Its place among the models."""


class State(NamedTuple):
    """What each part has read."""

    models: tuple[Any, ...]
    caches: tuple[History, ...]
    nothing_read: bool
    """True before the first token, when caches have nothing to say."""


class Ensemble:
    """The parts of a mixture in order: models, then caches.

    A state is that of each part: one that carries its state over line ends goes on with it, while another starts each
    line anew by its own contract.

    Args:
        models: At least one, of one tokenizer.
        caches: They follow the text over line ends.
    """

    def __init__(self, models: Sequence[LanguageModel], caches: Sequence[Listener] = ()) -> None:
        self.models, self.caches = tuple(models), tuple(caches)
        self.size = len(self.models) + len(self.caches)
        self.vocab_size = self.models[0].vocab_size
        self.stateful = bool(caches) or any(model.stateful for model in self.models)
        self.adapts = bool(caches) or any(getattr(model, "adapts", False) for model in self.models)
        self._heard = {listener.to for listener in self.caches} - {NOBODY}

    def initial_state(self, batch_size: int) -> State:
        models = tuple(model.initial_state(batch_size) for model in self.models)
        return State(models, tuple(empty(batch_size) for _ in self.caches), nothing_read=True)

    def score(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """What each part gives to each token: float64 [P, B, T], nats, and the state after the last."""
        log_probs = np.empty((self.size, *ids.shape))
        models: list[Any] = []
        hidden: dict[int, np.ndarray] = {}
        for i, (model, one) in enumerate(zip(self.models, state.models, strict=True)):
            if i in self._heard:
                log_probs[i], hidden[i], after = self._hidden_state_model(i).score_hidden(ids, one)
            else:
                log_probs[i], after = model.score(ids, one)
            models.append(after)
        caches = []
        for i, (listener, history) in enumerate(zip(self.caches, state.caches, strict=True), len(self.models)):
            log_probs[i], longer = listener.cache.score(ids, hidden.get(listener.to), history)
            caches.append(longer)
        return log_probs, State(tuple(models), tuple(caches), state.nothing_read and not ids.shape[1])

    def next_log_probs(self, state: State) -> np.ndarray:
        """What each part expects: float64 [P, B, V], nats; nothing at all of a cache before the first token."""
        expected = [model.next_log_probs(one) for model, one in zip(self.models, state.models, strict=True)]
        log_probs = np.empty((self.size, *np.shape(expected[0])))
        log_probs[: len(expected)] = expected
        hidden = {i: self._next_hidden(i, state.models[i], log_probs.shape[1]) for i in self._heard}
        for i, (listener, history) in enumerate(zip(self.caches, state.caches, strict=True), len(self.models)):
            log_probs[i] = listener.cache.next_log_probs(hidden.get(listener.to), history, self.vocab_size)
        return log_probs

    def _next_hidden(self, i: int, state: Any, batch_size: int) -> np.ndarray:
        """What the network says now, [B, E]: it is the same whatever token is scored."""
        any_token = np.zeros((batch_size, 1), np.int32)
        _, hidden, _ = self._hidden_state_model(i).score_hidden(any_token, state)
        return hidden[:, 0]

    def _hidden_state_model(self, i: int) -> HiddenStateModel:
        return cast("HiddenStateModel", self.models[i])
