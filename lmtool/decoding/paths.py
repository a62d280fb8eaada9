"""Answers that are told token by token without a second thought: greedy ones, and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from lmtool.decoding.result import Answers, score
from lmtool.decoding.selection import best
from lmtool.decoding.steps import attention_of, begin, reorder, tile

if TYPE_CHECKING:
    from lmtool.decoding.constraints import Constraints
    from lmtool.decoding.slots import Documents
    from lmtool.decoding.steps import Step, Target
    from lmtool.settings import DecodingConfig


class Pick(Protocol):
    """Chooses the next token of each path."""

    def __call__(self, log_probs: jax.Array, numbers: jax.Array, lengths: jax.Array) -> jax.Array:
        """int32 [B, K] from [B, K, V], of which some may be minus infinity, but no row throughout.

        Args:
            log_probs: Of the next token.
            numbers: int32 [B], of the documents.
            lengths: int32 [B], how many tokens went before.
        """
        ...


class Paths(NamedTuple):
    """K answers to each document so far, independent of each other."""

    step: jax.Array
    """int32 [B]: how many tokens were told of each document."""
    ids: jax.Array
    """int32 [B, K, L]."""
    tokens: jax.Array
    """int32 [B, K]: what the decoder reads next."""
    state: Any
    lengths: jax.Array
    """int32 [B, K]."""
    log_probs: jax.Array
    """float32 [B, K]."""
    done: jax.Array
    """bool [B, K]."""
    sources: jax.Array | None
    """int32 [B, K, L]."""
    coverage: jax.Array | None
    """float32 [B, K, S]: attention added up."""


def greedy(log_probs: jax.Array, numbers: jax.Array, lengths: jax.Array) -> jax.Array:
    """The likeliest token of each document's only path, of equal ones the first: a beam search with a beam of 1."""
    _, token = best(log_probs, 1)
    return token


@dataclass(frozen=True)
class PathSearch:
    """Follows `pick` until every path has come to an end, or to the greatest length; see `lmtool.decoding.slots`."""

    step: Step
    target: Target
    constraints: Constraints
    decoding: DecodingConfig
    pick: Pick

    def first(self, documents: Documents) -> Paths:
        shape = (documents.rows.shape[0], self.decoding.n_best)
        state, tokens = tile(documents.state, shape[1]), begin(self.target, shape)
        attention = attention_of(self.step, documents.memory, state, tokens)
        ids, zeros = jnp.zeros((*shape, self.target.max_length), jnp.int32), jnp.zeros(shape)
        return Paths(
            step=jnp.zeros(shape[0], jnp.int32),
            ids=ids,
            tokens=tokens,
            state=state,
            lengths=zeros.astype(jnp.int32),
            log_probs=zeros,
            done=jnp.broadcast_to(~documents.rows[:, None], shape),
            sources=None if attention is None else ids,
            coverage=None if attention is None or not self.decoding.coverage_penalty else jnp.zeros(attention.shape),
        )

    def is_done(self, progress: Paths) -> jax.Array:
        return jnp.all(progress.done, axis=1)

    def advance(self, documents: Documents, progress: Paths) -> Paths:
        paths = progress
        log_probs, attention, state = self.step(documents.memory, paths.state, paths.tokens)
        allowed = self.constraints.apply(log_probs, paths.ids, paths.step, documents.prefixes)
        tokens = self.pick(allowed, documents.numbers, paths.step)
        chosen = jnp.take_along_axis(allowed, tokens[:, :, None], axis=2, mode="promise_in_bounds")[:, :, 0]
        is_token = ~paths.done & (tokens != self.target.eos_id)
        place = jax.lax.broadcasted_iota(jnp.int32, paths.ids.shape, 2) == paths.step[:, None, None]

        def written(array: jax.Array, values: jax.Array) -> jax.Array:
            return jnp.where(place & is_token[:, :, None], values[:, :, None], array)

        sources, coverage = paths.sources, paths.coverage
        if sources is not None and attention is not None:
            sources = written(sources, jnp.argmax(attention, axis=2).astype(jnp.int32))
        if coverage is not None and attention is not None:
            coverage = coverage + jnp.where(paths.done[:, :, None], 0.0, attention)
        return Paths(
            step=paths.step + 1,
            ids=written(paths.ids, tokens),
            tokens=tokens,
            state=state,
            lengths=paths.lengths + is_token.astype(jnp.int32),
            log_probs=jnp.where(paths.done, paths.log_probs, paths.log_probs + chosen),
            done=~is_token | (paths.step + 1 >= self.target.max_length)[:, None],
            sources=sources,
            coverage=coverage,
        )

    def answers(self, documents: Documents, progress: Paths) -> Answers:
        """K of each document, the best first."""
        scores = score(
            progress.log_probs,
            progress.lengths,
            progress.coverage,
            documents.source_mask,
            length_alpha=self.decoding.length_penalty,
            coverage_beta=self.decoding.coverage_penalty,
        )
        answers = Answers(progress.ids, progress.lengths, progress.log_probs, scores, progress.sources)
        width = self.decoding.n_best
        if width == 1:
            return answers
        return reorder(answers, jax.lax.top_k(scores, width)[1])


__all__ = ["PathSearch", "Pick", "greedy"]
