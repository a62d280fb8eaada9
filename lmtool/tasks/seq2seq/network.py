"""An encoder, a decoder that attends to what it gave, and a distribution over the target's tokens; in Flax Linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lmtool.tasks.asked import asked
from lmtool.tasks.classify.pooling import Pooling
from lmtool.tasks.config import first_given
from lmtool.tasks.network import PENALTIES
from lmtool.tasks.output import FullSoftmax, uniform
from lmtool.tasks.seq2seq.attention import Attention, Combine, attended
from lmtool.tasks.seq2seq.config import Seq2SeqConfig
from lmtool.tasks.seq2seq.copying import overlap, with_copies
from lmtool.tasks.seq2seq.states import Memory, Readout, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.array_types import Embedded, Hidden, Ids, Key, Mask

POOLING = ("last", "mean")
"""What the decoder is told of the source at its first step."""


class Seq2SeqNetwork(nn.Module):
    """Embed and encode the source; embed the target so far, read it with a causal backbone, look at the source's states
    and give each token of the target's vocabulary a probability.

    With `precision` "bfloat16", activations have that type in training; weights, states that are handed on, attention's
    shares and probabilities stay float32.

    References:
        Luong et al., "Effective approaches to attention-based neural machine translation", 2015 (equation 5, input
        feeding).
        Sukhbaatar et al., "End-to-end memory networks", 2015 (hops).
        Gehring et al., "Convolutional sequence to sequence learning", 2017 (positions; attention_skip: equations 1, 2).
        Chen et al., "Reading Wikipedia to answer open-domain questions", 2017 (section 3.2: the exact match).
    """

    config: Seq2SeqConfig
    vocab_size: int
    """Of the source."""
    eos_id: int
    """Ends a line of the source."""
    target_vocab_size: int
    encoder: nn.Module
    backbone: nn.Module
    precision: str = "float32"

    # Sizes and parts --------------------------------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        return self.config.embedding_sizes[0]

    @property
    def attention_size(self) -> int:
        return int(self.config.attention_size or self.backbone.features)

    @property
    def output(self) -> FullSoftmax:
        return FullSoftmax(self.target_vocab_size, self.embedding_size, self.config.tied)

    def init_params(self, key: Key) -> Any:
        """Fresh parameters: a pure function of the key."""
        ids, mask = jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool)
        made = self.init(key, ids, mask, ids, train=False)
        return {"params": made["params"]}  # without what a backbone sows at each call

    def setup(self) -> None:
        config, shared = self.config, (1,) if self.config.locked_dropout else ()
        wanted = self.output.parameters()
        self.weights = {name: self.param(name, init, shape) for name, (init, shape) in wanted.items()}
        if not config.shared_embedding:
            shape = (self.vocab_size, self.config.embedding_sizes[1])
            self.source_embedding = self.param("source_embedding", uniform(config.source_embedding_init), shape)
        if config.question:
            self.match = self.param("match", uniform(config.source_embedding_init), (config.embedding_sizes[1],))
        if config.positions:
            for name, width in zip(("target_positions", "source_positions"), self.config.embedding_sizes, strict=True):
                setattr(self, name, self.param(name, uniform(0.1), (config.positions, width)))
        self.input_dropout = nn.Dropout(first_given(config.input_dropout, config.dropout), broadcast_dims=shared)
        self.output_dropout = nn.Dropout(first_given(config.output_dropout, config.dropout), broadcast_dims=shared)
        self.token_dropout = nn.Dropout(config.embedding_dropout)
        self.pooling = Pooling(POOLING, getattr(self.encoder, "causal", True))
        self.begin = nn.Dense(self.embedding_size)
        self.attention = self._attention() if config.attention != "none" else []
        self.combine = [Combine(self.attention_size) for _ in range(config.hops)]
        if self.attention_size != self.embedding_size:
            self.projection = Combine(self.embedding_size, bounded=False)
        if config.pointer:
            self.gate = nn.Dense(1)

    def _attention(self) -> list[Attention]:
        """One for each hop; the last one knows of coverage, and is the one that points."""
        config, size, hops = self.config, self.attention_size, self.config.hops
        queries = [int(self.backbone.features), *[size] * (hops - 1)]
        return [
            Attention(config.attention, size, query, int(self.encoder.features), config.coverage and hop == hops - 1)
            for hop, query in enumerate(queries)
        ]

    # Reading ----------------------------------------------------------------------------------------------------------

    def __call__(self, source: Ids, mask: Mask, targets: Ids, *, train: bool) -> Readout:
        """What is known of each of the targets [B, T] before it is read; see `encode` for the source."""
        return self.read(self.encode(source, mask, train=train), targets, train=train)

    def encode(self, source: Ids, mask: Mask, *, train: bool = False) -> Memory:
        """Read sources [B, S], of each of which one token at least is real by its mask, [B, S]."""
        table = self.weights["embedding"] if self.config.shared_embedding else self.source_embedding
        places = self._places(self.source_positions, source.shape[1]) if self.config.positions else None
        x = self._embed(table, source, places, train=train)
        if self.config.question:
            marked = asked(source, mask, self.eos_id)[:, :, None].astype(x.dtype)
            x = x + marked * self.match.astype(x.dtype)[None, None]
        carry = self.encoder.initial_carry(x.shape[0], x.shape[-1])
        states, _ = self.encoder(x, mask, carry, train=train)
        states = states.astype(x.dtype)
        keys = tuple(one.keys(states) for one in self.attention)
        if self.config.attention_skip:
            states = states + x
        return Memory(states, keys, mask, source, self.begin(self.pooling(states, mask)).astype(x.dtype))

    def read(self, memory: Memory, targets: Ids, *, train: bool = False) -> Readout:
        """Read whole targets [B, T]: nothing at a step depends on its own target or on those after it."""
        begin, places = memory.begin[:, None], None
        if self.config.positions:
            places = self._places(self.target_positions, targets.shape[1] + 1)
            begin, places = begin + places[None, :1].astype(begin.dtype), places[1:]
        x = self._embed(self.weights["embedding"], targets, places, train=train)
        x = jnp.concatenate([begin, x[:, :-1]], axis=1)
        if self.config.input_feeding:
            return self._read_by_steps(memory, x, train=train)
        carry = self.backbone.initial_carry(x.shape[0], self._input_size)
        h, _ = self.backbone(x, None, carry, train=train)  # padding comes last, where nothing reads it
        h = h.astype(x.dtype)
        if self.config.coverage:
            return self._attend_by_steps(memory, h, x, train=train)
        return self._attend(memory, h, x, (), train=train)[0]

    def step(self, memory: Memory, state: State, ids: Ids) -> tuple[jax.Array, Any, State]:
        """One step of K texts a row, as `lmtool.decoding` wants it.

        Args:
            memory: Of the sources.
            state: From `initial_state` or the step before.
            ids: [B, K], the token before; the size of the target's vocabulary where there is none.

        Returns:
            Log-probabilities of the next token, float32 [B, K, V], in nats; attention, float32 [B, K, S], or None; the
            state after it.
        """
        known = jnp.minimum(ids, self.target_vocab_size - 1)
        is_begin = (ids >= self.target_vocab_size)[:, :, None]
        x = jnp.where(is_begin, memory.begin[:, None], self.weights["embedding"][known])
        if self.config.positions:
            x = x + self.target_positions[jnp.minimum(state.place, self.config.positions - 1)]
        readout, state = self._advance(memory, state, x, train=False)
        rows = readout.h.reshape(-1, readout.h.shape[-1])
        log_probs = self.output.log_probs(self.weights, rows).reshape(*ids.shape, -1)
        return with_copies(log_probs, readout, memory.source), readout.shares, state

    def initial_state(self, memory: Memory, rows: int) -> State:
        """Before the first step of `rows` texts for each source."""
        batch, width = memory.mask.shape
        carry = self.backbone.initial_carry(batch * rows, self._input_size)
        fed = jnp.zeros((batch, rows, self.attention_size), memory.begin.dtype) if self.config.input_feeding else ()
        coverage = jnp.zeros((batch, rows, width)) if self.config.coverage else ()
        place = jnp.zeros((batch, rows), jnp.int32) if self.config.positions else ()
        carry = jax.tree.map(lambda leaf: leaf.reshape(batch, rows, *leaf.shape[1:]), carry)
        return State(carry, fed, coverage, place)

    def output_weights(self) -> Mapping[str, jax.Array]:
        """The weights of `output`."""
        return dict(self.weights)

    # Inside -----------------------------------------------------------------------------------------------------------

    @property
    def _input_size(self) -> int:
        return self.embedding_size + (self.attention_size if self.config.input_feeding else 0)

    def _places(self, table: jax.Array, count: int) -> jax.Array:
        """The embeddings of the first places, [count, E]; those after the last that has one share it."""
        return table[jnp.minimum(jnp.arange(count), self.config.positions - 1)]

    def _embed(self, table: jax.Array, ids: Ids, places: jax.Array | None, *, train: bool) -> Embedded:
        """[B, T, E] of ids [B, T], each at its place [T, E]."""
        x = table[ids]
        if train and self.config.embedding_dropout:
            factors = self.token_dropout(jnp.ones(table.shape[0]), deterministic=False)
            x = x * factors[ids][:, :, None]
        if places is not None:
            x = x + places[None]
        if train and self.precision == "bfloat16":
            x = x.astype(jnp.bfloat16)
        return self.input_dropout(x, deterministic=not train)

    def _advance(self, memory: Memory, state: State, x: jax.Array, *, train: bool) -> tuple[Readout, State]:
        """One step of texts that read x [B, K, E]."""
        batch, rows = x.shape[:2]
        inputs = jnp.concatenate([x, state.fed], axis=-1) if self.config.input_feeding else x
        carry = jax.tree.map(lambda leaf: leaf.reshape(batch * rows, *leaf.shape[2:]), state.carry)
        h, after = self.backbone(inputs.reshape(batch * rows, 1, -1), None, carry, train=train)
        after = jax.tree.map(lambda new, old: new.astype(old.dtype).reshape(old.shape), after, state.carry)
        h = h.astype(x.dtype).reshape(batch, rows, -1)
        readout, fed, coverage = self._attend(memory, h, x, state.coverage, train=train)
        place = state.place + 1 if self.config.positions else ()
        return readout, State(after, fed if self.config.input_feeding else (), coverage, place)

    def _attend(
        self, memory: Memory, h: Hidden, x: Embedded, coverage: Any, *, train: bool
    ) -> tuple[Readout, jax.Array, Any]:
        """Look at the source from states h [B, T, H], which have read x [B, T, E].

        Args:
            memory: Of the sources.
            h: Of the decoder.
            x: For the gate alone.
            coverage: [B, T, S], attention before; `()` without `coverage`.
            train: True for dropout.

        Returns:
            What is known then, the output of the layer above attention [B, T, A], and coverage after it.
        """
        query, context, shares = h + x if self.config.attention_skip else h, None, None
        covered = coverage if self.config.coverage else None
        for hop, combine in enumerate(self.combine):
            if self.attention:
                shares = self.attention[hop](query, memory.keys[hop], memory.mask, covered)
                context = attended(shares, memory.states)
            query = combine(query if context is None else jnp.concatenate([context, query], axis=-1))
        out = self.output_dropout(query, deterministic=not train)
        projected = out if self.attention_size == self.embedding_size else self.projection(out)
        gate = overlapping = None
        if self.config.pointer:
            assert context is not None
            gate = self.gate(jnp.concatenate([context, h, x], axis=-1).astype(jnp.float32))[:, :, 0]
        if self.config.coverage:
            assert shares is not None
            overlapping, coverage = overlap(shares, coverage), coverage + shares
        return Readout(projected, shares, gate, overlapping), out, coverage

    def _read_by_steps(self, memory: Memory, x: Embedded, *, train: bool) -> Readout:
        """As `read`, where each step waits for the one before."""

        def one_step(network: Seq2SeqNetwork, state: State, x: jax.Array) -> tuple[State, Readout]:
            readout, state = network._advance(memory, state, x[:, None], train=train)
            return state, _at_only_step(readout)

        readouts: Readout = _scan(one_step)(self, self.initial_state(memory, 1), x)[1]
        return readouts

    def _attend_by_steps(self, memory: Memory, h: Hidden, x: Embedded, *, train: bool) -> Readout:
        """As `_attend`, where each step's attention knows of those before."""

        def one_step(network: Seq2SeqNetwork, coverage: jax.Array, at: Any) -> tuple[jax.Array, Readout]:
            h, x = at
            readout, _, coverage = network._attend(memory, h[:, None], x[:, None], coverage, train=train)
            return coverage, _at_only_step(readout)

        readouts: Readout = _scan(one_step)(self, self.initial_state(memory, 1).coverage, (h, x))[1]
        return readouts


def _scan(one_step: Any) -> Any:
    """Over axis 1; dropout masks are the same at all steps."""
    return nn.scan(
        one_step,
        variable_broadcast="params",
        variable_axes={PENALTIES: 0},
        split_rngs={"params": False, "dropout": False},
        in_axes=1,
        out_axes=1,
    )


def _at_only_step(readout: Readout) -> Readout:
    at_step: Readout = jax.tree.map(lambda leaf: leaf[:, 0], readout)
    return at_step


__all__ = ["Memory", "Readout", "Seq2SeqNetwork", "State"]
