"""A network from text to text as a policy: it draws answers, and says of each token what the loss needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.decoding import Target, decode
from lmtool.settings import DecodingConfig
from lmtool.tasks.output import LOGITS_AT_ONCE
from lmtool.tasks.reinforce.penalties import Tokens, divergence, entropy, k3, of_drawn, tempered
from lmtool.tasks.seq2seq.copying import with_copies
from lmtool.tasks.seq2seq.states import decoder_of

if TYPE_CHECKING:
    from lmtool.array_types import Key
    from lmtool.decoding import Answers
    from lmtool.tasks.reinforce.config import ReinforceConfig
    from lmtool.tasks.seq2seq.network import Memory, Readout, Seq2SeqNetwork


@dataclass(frozen=True)
class Policy:
    """The distribution of answers by a network without dropout, its logits divided by the temperature.

    Dropout would make what is drawn and what is learned two different distributions.
    """

    network: Seq2SeqNetwork
    config: ReinforceConfig
    eos_id: int

    def encode(self, params: Any, source: jax.Array, mask: jax.Array) -> Memory:
        memory: Memory = self.network.apply(params, source, mask, method="encode")
        return memory

    def sample(self, params: Any, memory: Memory, length: int, *, numbers: jax.Array, key: Key) -> Answers:
        """K answers of at most `length` tokens to each of B documents, drawn; see `decode` for numbers and key."""
        decoding = {"sample": True, "n_best": self.config.samples, "temperature": self.config.temperature}
        return self._decode(params, memory, length, DecodingConfig.model_validate(decoding), numbers, key)

    def greedy(self, params: Any, memory: Memory, length: int, *, numbers: jax.Array) -> Answers:
        """The answer of the likeliest tokens to each document."""
        return self._decode(params, memory, length, DecodingConfig.model_validate({"beam": 1}), numbers, None)

    def _decode(
        self, params: Any, memory: Memory, length: int, decoding: DecodingConfig, numbers: jax.Array, key: Key | None
    ) -> Answers:
        real = numbers >= 0
        step, start = decoder_of(self.network, params, memory)
        target = Target(self.network.target_vocab_size, self.eos_id, length)
        numbers = jnp.maximum(numbers, 0)
        return decode(step, start, target, decoding, memory=memory, rows=real, key=key, numbers=numbers)

    def read(self, params: Any, memory: Memory, ids: jax.Array) -> tuple[Any, Readout]:
        """The output layer's weights, and what the network knows before each token of [B, K, T] answers to B documents:
        arrays [B, K, T, …]."""
        batch, rows, length = ids.shape
        tiled = jax.tree.map(lambda leaf: _tiled(leaf, rows), memory)
        readout = self.network.apply(params, tiled, ids.reshape(batch * rows, length), method="read")
        weights = self.network.apply(params, method="output_weights")
        return weights, jax.tree.map(lambda leaf: leaf.reshape(batch, rows, *leaf.shape[1:]), readout)

    def tokens(
        self, own: tuple[Any, Readout], reference: tuple[Any, Readout] | None, source: jax.Array, ids: jax.Array
    ) -> Tokens:
        """What is to be known of each token of [B, K, T] answers, a few answers at a time, since each token brings as
        many numbers as the vocabulary has; backward they are computed once more.

        Args:
            own: From `read`.
            reference: The same, of the starting model; None if its divergence is not asked for.
            source: int32 [B, S].
            ids: int32 [B, K, T].
        """
        batch, rows, length = ids.shape
        total = batch * rows
        count = -(-total // max(1, LOGITS_AT_ONCE // (length * self.network.target_vocab_size)))
        size = -(-total // count)

        def cut(leaf: jax.Array) -> jax.Array:
            flat = leaf.reshape(total, *leaf.shape[2:])
            padding = [(0, count * size - total), *[(0, 0)] * (flat.ndim - 1)]
            return jnp.pad(flat, padding).reshape(count, size, *flat.shape[1:])

        @jax.checkpoint
        def piece(weights: Any, readouts: Any, source: jax.Array, ids: jax.Array) -> Tokens:
            log_probs = [self._log_probs(*one, source) for one in zip(weights, readouts, strict=True)]
            return self._of_tokens(log_probs[0], log_probs[1] if len(log_probs) == 2 else None, ids)

        pairs = [own] if reference is None else [own, reference]
        weights = [one[0] for one in pairs]
        pieces = [one[1]._replace(overlap=None) for one in pairs], _tiled(source, rows).reshape(batch, rows, -1), ids
        found = jax.lax.map(lambda arrays: piece(weights, *arrays), jax.tree.map(cut, pieces))
        tokens: Tokens = jax.tree.map(lambda leaf: leaf.reshape(-1, length)[:total].reshape(ids.shape), found)
        return tokens

    def _log_probs(self, weights: Any, readout: Readout, source: jax.Array) -> jax.Array:
        """The distribution at each step of N answers: arrays [N, T, …] and ids [N, S] to float32 [N, T, V]."""
        rows = readout.h.reshape(-1, readout.h.shape[-1]).astype(jnp.float32)
        log_probs = self.network.output.log_probs(weights, rows).reshape(*readout.h.shape[:2], -1)
        return tempered(with_copies(log_probs, readout, source), self.config.temperature)

    def _of_tokens(self, log_probs: jax.Array, reference: jax.Array | None, ids: jax.Array) -> Tokens:
        drawn, kl = of_drawn(log_probs, ids), None
        if reference is not None:
            exact = self.config.kl_estimator == "exact"
            kl = divergence(log_probs, reference) if exact else k3(drawn, of_drawn(reference, ids))
        return Tokens(drawn, entropy(log_probs) if self.config.entropy else None, kl)


def _tiled(leaf: jax.Array, rows: int) -> jax.Array:
    """[B, …] to [B * rows, …], each row so many times."""
    wide = jnp.broadcast_to(leaf[:, None], (leaf.shape[0], rows, *leaf.shape[1:]))
    return wide.reshape(-1, *leaf.shape[1:])


__all__ = ["Policy"]
