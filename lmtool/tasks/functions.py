"""What is computed by a trained language model's network, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.tasks.network import LanguageModelNetwork


class State(NamedTuple):
    """What has been read: the carry before the last token, and that token."""

    carry: Any
    last: jax.Array
    """int32 [B]."""


class Functions:
    """The network's compiled functions, shared by all predictors of it."""

    def __init__(self, network: LanguageModelNetwork, eos_id: int) -> None:
        self.network = network
        self.eos_id = eos_id
        self.score = jax.jit(self._score)
        self.score_hidden = jax.jit(self._score_hidden)
        self.next_log_probs = jax.jit(self._next_log_probs)

    def _score(self, params: Any, state: State, ids: jax.Array, mask: jax.Array) -> tuple[jax.Array, State]:
        log_probs, _, state = self._score_hidden(params, state, ids, mask)
        return log_probs, state

    def _score_hidden(
        self, params: Any, state: State, ids: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, jax.Array, State]:
        inputs = jnp.concatenate([state.last[:, None], ids[:, :-1]], axis=1)
        # What precedes the last real position: with it, the carry stands before the last token.
        h, carry = self._hidden(params, inputs, mask, state.carry)
        last = jnp.take_along_axis(ids, mask.sum(axis=1, keepdims=True) - 1, axis=1)[:, 0]
        rows = (h.reshape(ids.size, h.shape[-1]), ids.reshape(-1))
        log_probs = self.network.output.target_log_probs(self._output_weights(params), *rows)
        return log_probs.reshape(ids.shape), h, State(carry, last)

    def _hidden(self, params: Any, inputs: jax.Array, mask: jax.Array | None, carry: Any) -> tuple[jax.Array, Any]:
        # TPUs and recent GPUs multiply float32 with fewer bits unless told otherwise.
        with jax.default_matmul_precision("highest"):
            read: tuple[jax.Array, Any] = self.network.apply(params, inputs, mask, carry, train=False)
            return read

    def _next_log_probs(self, params: Any, state: State) -> jax.Array:
        h, _ = self._hidden(params, state.last[:, None], None, state.carry)
        log_probs: jax.Array = self.network.output.log_probs(self._output_weights(params), h[:, 0])
        return log_probs

    def _output_weights(self, params: Any) -> Mapping[str, jax.Array]:
        weights: Mapping[str, jax.Array] = self.network.apply(params, method="output_weights")
        return weights


__all__ = ["Functions", "State"]
