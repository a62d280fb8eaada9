"""A network as a policy: it draws texts, and says of each token what the loss needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp

from lmtool.decoding import Prefixes, Target, decode
from lmtool.settings import DecodingConfig
from lmtool.tasks.output import LOGITS_AT_ONCE
from lmtool.tasks.reinforce.penalties import Tokens, divergence, entropy, k3, of_drawn, tempered
from lmtool.tasks.seq2seq.copying import with_copies
from lmtool.tasks.seq2seq.functions import decoder_of

if TYPE_CHECKING:
    from lmtool.array_types import Key
    from lmtool.decoding import Answers, Step
    from lmtool.tasks.network import LanguageModelNetwork
    from lmtool.tasks.reinforce.config import RewardConfig
    from lmtool.tasks.seq2seq.network import Memory, Readout, Seq2SeqNetwork


class Decoder(Protocol):
    """A network as `lmtool.decoding` sees it, and all of its next-token distributions at once.

    The context is what is known of B texts before their first token: a pytree of arrays [B, …].
    """

    @property
    def vocab_size(self) -> int: ...

    def start(self, params: Any, context: Any) -> tuple[Step, Any, Any, Prefixes | None]:
        """For `decode`: the step, the state before the first, the memory, and what the texts begin with."""
        ...

    def read(self, params: Any, context: Any, ids: jax.Array) -> tuple[Any, Any]:
        """The output layer's weights, and what the network knows before each token of [B, K, T] texts, K to each
        context: arrays [B, K, T, …]."""
        ...

    def beside(self, context: Any) -> Any:
        """What `log_probs` needs of the context: arrays [B, …]."""
        ...

    def log_probs(self, weights: Any, readout: Any, beside: Any) -> jax.Array:
        """The distribution at each step of N texts: arrays [N, T, …] and [N, …] to float32 [N, T, V]."""
        ...


@dataclass(frozen=True)
class Policy:
    """The distribution of texts by a network without dropout, its logits divided by the temperature.

    Dropout would make what is drawn and what is learned two different distributions.
    """

    decoder: Decoder
    config: RewardConfig
    eos_id: int

    def sample(
        self, params: Any, context: Any, length: int, *, numbers: jax.Array, key: Key, count: int | None = None
    ) -> Answers:
        """Texts of at most `length` tokens to each of B contexts, drawn, K or `count` of them; see `decode` for numbers
        and key."""
        decoding = {"sample": True, "n_best": count or self.config.samples, "temperature": self.config.temperature}
        return self._decode(params, context, length, DecodingConfig.model_validate(decoding), numbers, key)

    def greedy(self, params: Any, context: Any, length: int, *, numbers: jax.Array) -> Answers:
        """The text of the likeliest tokens to each context."""
        return self._decode(params, context, length, DecodingConfig.model_validate({"beam": 1}), numbers, None)

    def _decode(
        self, params: Any, context: Any, length: int, decoding: DecodingConfig, numbers: jax.Array, key: Key | None
    ) -> Answers:
        real = numbers >= 0
        step, state, memory, prefixes = self.decoder.start(params, context)
        target = Target(self.decoder.vocab_size, self.eos_id, length)
        numbers = jnp.maximum(numbers, 0)
        return decode(
            step, state, target, decoding, memory=memory, prefixes=prefixes, rows=real, key=key, numbers=numbers
        )

    def tokens(self, own: tuple[Any, Any], reference: tuple[Any, Any] | None, beside: Any, ids: jax.Array) -> Tokens:
        """What is to be known of each token of [B, K, T] texts, a few texts at a time, since each token brings as many
        numbers as the vocabulary has; backward they are computed once more.

        Args:
            own: From the decoder's `read`.
            reference: The same, of the starting model; None if its divergence is not asked for.
            beside: From the decoder's `beside`.
            ids: int32 [B, K, T].
        """
        batch, rows, length = ids.shape
        total = batch * rows
        count = -(-total // max(1, LOGITS_AT_ONCE // (length * self.decoder.vocab_size)))
        size = -(-total // count)

        def cut(leaf: jax.Array) -> jax.Array:
            flat = leaf.reshape(total, *leaf.shape[2:])
            padding = [(0, count * size - total), *[(0, 0)] * (flat.ndim - 1)]
            return jnp.pad(flat, padding).reshape(count, size, *flat.shape[1:])

        @jax.checkpoint
        def piece(weights: Any, readouts: Any, beside: Any, ids: jax.Array) -> Tokens:
            log_probs = [self._log_probs(*one, beside) for one in zip(weights, readouts, strict=True)]
            return self._of_tokens(log_probs[0], log_probs[1] if len(log_probs) == 2 else None, ids)

        pairs = [own] if reference is None else [own, reference]
        weights = [one[0] for one in pairs]
        wide = jax.tree.map(lambda leaf: tiled(leaf, rows).reshape(batch, rows, *leaf.shape[1:]), beside)
        pieces = jax.tree.map(cut, ([one[1] for one in pairs], wide, ids))
        found = jax.lax.map(lambda arrays: piece(weights, *arrays), pieces)
        tokens: Tokens = jax.tree.map(lambda leaf: leaf.reshape(-1, length)[:total].reshape(ids.shape), found)
        return tokens

    def _log_probs(self, weights: Any, readout: Any, beside: Any) -> jax.Array:
        return tempered(self.decoder.log_probs(weights, readout, beside), self.config.temperature)

    def _of_tokens(self, log_probs: jax.Array, reference: jax.Array | None, ids: jax.Array) -> Tokens:
        drawn, kl = of_drawn(log_probs, ids), None
        if reference is not None:
            exact = self.config.kl_estimator == "exact"
            kl = divergence(log_probs, reference) if exact else k3(drawn, of_drawn(reference, ids))
        return Tokens(drawn, entropy(log_probs) if self.config.entropy else None, kl)


@dataclass(frozen=True)
class Seq2SeqDecoder:
    """See `Decoder`. The context is the `Memory` of documents."""

    network: Seq2SeqNetwork

    @property
    def vocab_size(self) -> int:
        return self.network.target_vocab_size

    def encode(self, params: Any, source: jax.Array, mask: jax.Array) -> Memory:
        """The context of documents, int32 and bool [B, S]."""
        memory: Memory = self.network.apply(params, source, mask, method="encode")
        return memory

    def start(self, params: Any, context: Memory) -> tuple[Step, Any, Any, Prefixes | None]:
        return *decoder_of(self.network, params, context), context, None

    def read(self, params: Any, context: Memory, ids: jax.Array) -> tuple[Any, Readout]:
        batch, rows, length = ids.shape
        wide = jax.tree.map(lambda leaf: tiled(leaf, rows), context)
        readout = self.network.apply(params, wide, ids.reshape(batch * rows, length), method="read")
        weights = self.network.apply(params, method="output_weights")
        known = readout._replace(overlap=None)
        return weights, jax.tree.map(lambda leaf: leaf.reshape(batch, rows, *leaf.shape[1:]), known)

    def beside(self, context: Memory) -> jax.Array:
        """int32 [B, S], the documents, which tokens may be copied from."""
        return context.source

    def log_probs(self, weights: Any, readout: Readout, beside: jax.Array) -> jax.Array:
        return with_copies(_distribution(self.network.output, weights, readout.h), readout, beside)


@dataclass(frozen=True)
class LanguageModelDecoder:
    """See `Decoder`. The context is what texts begin with: `Prefixes`. Each is read as the first of a text: after the
    end of a line, which is what a language model reads where nothing stands."""

    network: LanguageModelNetwork
    eos_id: int

    @property
    def vocab_size(self) -> int:
        return self.network.vocab_size

    def start(self, params: Any, context: Prefixes) -> tuple[Step, Any, Any, Prefixes | None]:
        weights = self.network.apply(params, method="output_weights")

        def step(memory: Any, state: Any, ids: jax.Array) -> tuple[jax.Array, None, Any]:
            batch, rows = ids.shape
            carry = jax.tree.map(lambda leaf: leaf.reshape(batch * rows, *leaf.shape[2:]), state)
            inputs = jnp.where(ids < self.vocab_size, ids, self.eos_id).reshape(batch * rows, 1)
            h, after = self.network.apply(params, inputs, None, carry, train=False)
            log_probs = _distribution(self.network.output, weights, h)
            after = jax.tree.map(lambda new, old: new.reshape(old.shape), after, state)
            return log_probs.reshape(batch, rows, -1), None, after

        # The lengths are the memory: without any carry, something must say how many texts there are.
        return step, self.network.initial_carry(context.lengths.size), context.lengths, context

    def read(self, params: Any, context: Prefixes, ids: jax.Array) -> tuple[Any, jax.Array]:
        batch, rows, length = ids.shape
        flat = ids.reshape(batch * rows, length)
        inputs = jnp.concatenate([jnp.full((batch * rows, 1), self.eos_id, flat.dtype), flat[:, :-1]], axis=1)
        h, _ = self.network.apply(params, inputs, None, self.network.initial_carry(batch * rows), train=False)
        weights = self.network.apply(params, method="output_weights")
        return weights, h.reshape(batch, rows, length, -1)

    def beside(self, context: Prefixes) -> tuple[()]:
        return ()

    def log_probs(self, weights: Any, readout: jax.Array, beside: Any) -> jax.Array:
        return _distribution(self.network.output, weights, readout)


def _distribution(output: Any, weights: Any, h: jax.Array) -> jax.Array:
    """[N, T, E] to float32 [N, T, V], in nats."""
    rows = h.reshape(-1, h.shape[-1]).astype(jnp.float32)
    log_probs: jax.Array = output.log_probs(weights, rows).reshape(*h.shape[:2], -1)
    return log_probs


def tiled(leaf: jax.Array, rows: int) -> jax.Array:
    """[B, …] to [B * rows, …], each row so many times."""
    wide = jnp.broadcast_to(leaf[:, None], (leaf.shape[0], rows, *leaf.shape[1:]))
    return wide.reshape(-1, *leaf.shape[1:])


__all__ = ["Decoder", "LanguageModelDecoder", "Policy", "Seq2SeqDecoder", "tiled"]
