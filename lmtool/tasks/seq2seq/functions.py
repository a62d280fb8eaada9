"""What is computed by a trained network, or by several that write together, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.decoding import decode
from lmtool.tasks.seq2seq.copying import mass_of, mixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.array_types import Key
    from lmtool.decoding import Answers, Prefixes, Step, Target
    from lmtool.settings import DecodingConfig
    from lmtool.tasks.seq2seq.network import Seq2SeqNetwork
    from lmtool.tasks.seq2seq.states import Memory, State


def decoder_of(network: Seq2SeqNetwork, params: Any, memory: Memory) -> tuple[Step, Any]:
    """What `lmtool.decoding.decode` asks for: a step, and the state before the first.

    Args:
        network: Whose `step` it is.
        params: Of the network.
        memory: Of B sources.
    """

    def step(memory: Memory, state: State, ids: jax.Array) -> tuple[jax.Array, Any, State]:
        log_probs, shares, after = network.apply(params, memory, state, ids, method="step")
        return log_probs, shares, after

    first = network.apply(params, memory, 1, method="initial_state")
    return step, jax.tree.map(lambda leaf: leaf[:, 0], first)


class Functions:
    """Compiled functions of networks with one vocabulary, shared by all predictors of them.

    Several networks give each next token the mean of their probabilities, and attend to each token of the source by the
    mean of their attention. Parameters are a tuple, those of each network.
    """

    def __init__(self, networks: Sequence[Seq2SeqNetwork]) -> None:
        self.networks = tuple(networks)
        self.have_attention = all(network.config.attention != "none" for network in networks)
        self.target_log_probs = jax.jit(self._target_log_probs)
        self.answers = jax.jit(self._answers, static_argnames=("target", "decoding", "slots"))

    def _target_log_probs(
        self, params: tuple[Any, ...], source: jax.Array, mask: jax.Array, targets: jax.Array
    ) -> jax.Array:
        """float32 [B, T]."""
        return mean_probability(
            [
                _log_probs_of(network, own, source, mask, targets)
                for network, own in zip(self.networks, params, strict=True)
            ]
        )

    def _answers(
        self,
        params: tuple[Any, ...],
        source: jax.Array,
        mask: jax.Array,
        prefixes: Prefixes | None,
        rows: jax.Array,
        numbers: jax.Array,
        key: Key,
        *,
        target: Target,
        decoding: DecodingConfig,
        slots: int,
    ) -> Answers:
        """Of [B, S] sources, of which `rows` [B] are some; B is a multiple of `slots`. See `lmtool.decoding.decode`."""
        with jax.default_matmul_precision("highest"):
            memory = self._encode(params, source, mask, rows, slots)
            step, start = self._decoder(params, memory)
            return decode(
                step,
                start,
                target,
                decoding,
                memory=memory,
                slots=slots,
                prefixes=prefixes,
                source_mask=mask,
                rows=rows,
                key=key,
                numbers=numbers,
            )

    def _decoder(self, params: tuple[Any, ...], memories: tuple[Memory, ...]) -> tuple[Step, tuple[State, ...]]:
        """See `decoder_of`; memories and states are tuples, those of each network."""
        parts = [decoder_of(*one) for one in zip(self.networks, params, memories, strict=True)]

        def together(memory: Any, state: Any, ids: jax.Array) -> tuple[jax.Array, Any, Any]:
            each = zip(parts, memory, state, strict=True)
            found = [step(own_memory, own_state, ids) for (step, _), own_memory, own_state in each]
            log_probs, shares, after = zip(*found, strict=True)
            attention = sum(shares[1:], start=shares[0]) / len(shares) if self.have_attention else None
            return mean_probability(log_probs), attention, after

        return together, tuple(start for _, start in parts)

    def _encode(
        self, params: tuple[Any, ...], source: jax.Array, mask: jax.Array, rows: jax.Array, size: int
    ) -> tuple[Memory, ...]:
        """So many sources at once, whatever their number: what is computed of one always has the same shapes."""

        def encoded(source: jax.Array, mask: jax.Array) -> tuple[Memory, ...]:
            pairs = zip(self.networks, params, strict=True)
            return tuple(network.apply(own, source, mask, method="encode") for network, own in pairs)

        def some(arrays: tuple[jax.Array, ...]) -> tuple[Memory, ...]:
            source, mask, rows = arrays
            shapes = jax.eval_shape(encoded, source, mask)
            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            memories: tuple[Memory, ...] = jax.lax.cond(rows.any(), encoded, lambda *_: nothing, source, mask)
            return memories

        pieces = [leaf.reshape(-1, size, *leaf.shape[1:]) for leaf in (source, mask, rows)]
        found: tuple[Memory, ...] = jax.lax.map(some, tuple(pieces))
        memories: tuple[Memory, ...] = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)
        return memories


def _log_probs_of(
    network: Seq2SeqNetwork, params: Any, source: jax.Array, mask: jax.Array, targets: jax.Array
) -> jax.Array:
    """Of each target token, float32 [B, T]."""
    # TPUs and recent GPUs multiply float32 with fewer bits unless told otherwise.
    with jax.default_matmul_precision("highest"):
        readout = network.apply(params, source, mask, targets, train=False)
    weights = network.apply(params, method="output_weights")
    rows = readout.h.reshape(targets.size, -1), targets.reshape(-1)
    log_probs: jax.Array = network.output.target_log_probs(weights, *rows).reshape(targets.shape)
    if not network.config.pointer:
        return log_probs
    return mixed(log_probs, readout.gate, mass_of(readout.shares, source, targets))


def mean_probability(log_probs: Sequence[jax.Array]) -> jax.Array:
    """The logarithm of the mean of probabilities, given by their logarithms; of one, itself to the bit."""
    if len(log_probs) == 1:
        return log_probs[0]
    mean: jax.Array = jax.nn.logsumexp(jnp.stack(log_probs), axis=0) - math.log(len(log_probs))
    return mean


__all__ = ["Functions", "mean_probability"]
