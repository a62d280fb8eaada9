"""Beam search, compiled: many documents at once, and for each of them what it would be alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from lmtool.decoding.result import Answers, score
from lmtool.decoding.selection import best
from lmtool.decoding.steps import attention_of, begin, length_penalty, reorder, tile, where

if TYPE_CHECKING:
    from lmtool.decoding.constraints import Constraints
    from lmtool.decoding.slots import Documents
    from lmtool.decoding.steps import Step, Target
    from lmtool.settings import DecodingConfig


class Live(NamedTuple):
    """Hypotheses that have not ended; log-probabilities descend, and minus infinity is none."""

    ids: jax.Array
    """int32 [B, K, L]."""
    log_probs: jax.Array
    """float32 [B, K]."""
    sources: jax.Array | None
    """int32 [B, K, L]."""
    coverage: jax.Array | None
    """float32 [B, K, S]: attention added up."""


class Beam(NamedTuple):
    """All that a step of the search changes."""

    step: jax.Array
    """int32 [B]: how many tokens each live hypothesis has."""
    live: Live
    tokens: jax.Array
    """int32 [B, K]: the last of each, not yet read by the decoder."""
    state: Any
    kept: Answers
    """The best N that have ended."""
    ended: jax.Array
    """int32 [B]: how many have ended."""
    done: jax.Array
    """bool [B]: what follows changes nothing for these documents."""


@dataclass(frozen=True)
class BeamSearch:
    """Looks for the answers with the best scores; see `lmtool.decoding.slots`.

    At each step a document's live hypotheses, K = `beam`, are continued by all tokens. The K best continuations that
    are no ends live on; an end is kept if it is among the K best of all continuations. A document is done when K
    hypotheses have ended, when no live one can get a better score than the N-th of those kept, or at the greatest
    length. Answers that were cut off there come after those that ended, and only where those are fewer than N.

    Of equal continuations, that of the better hypothesis is taken, then that with the lower id; of answers with equal
    scores, the one that ended first.

    References: Sutskever et al., "Sequence to sequence learning with neural networks", 2014, section 3.2.
    """

    step: Step
    target: Target
    constraints: Constraints
    decoding: DecodingConfig

    def first(self, documents: Documents) -> Beam:
        rows, width = documents.rows, self.decoding.beam
        shape = (rows.shape[0], width)
        state, tokens = tile(documents.state, width), begin(self.target, shape)
        attention = attention_of(self.step, documents.memory, state, tokens)
        ids = jnp.zeros((*shape, self.target.max_length), jnp.int32)
        sources = None if attention is None else ids
        coverage = None if attention is None or not self.decoding.coverage_penalty else jnp.zeros(attention.shape)
        # Equal hypotheses are continued once: all but the first begin with a probability of zero.
        log_probs = jnp.full(shape, -jnp.inf).at[:, 0].set(0.0)
        live = Live(ids, log_probs, sources, coverage)
        n_best = slice(0, self.decoding.n_best)
        none = jnp.full((shape[0], self.decoding.n_best), -jnp.inf)
        zeros = jnp.zeros(none.shape, jnp.int32)
        kept = Answers(ids[:, n_best], zeros, none, none, None if sources is None else sources[:, n_best])
        counts = jnp.zeros(rows.shape, jnp.int32)
        return Beam(counts, live, tokens, state, kept, counts, ~rows)

    def is_done(self, progress: Beam) -> jax.Array:
        return progress.done | (progress.step >= self.target.max_length)

    def advance(self, documents: Documents, progress: Beam) -> Beam:
        beam, is_on = progress, ~self.is_done(progress)
        log_probs, attention, state = self.step(documents.memory, beam.state, beam.tokens)
        allowed = self.constraints.apply(log_probs, beam.live.ids, beam.step, documents.prefixes)
        totals = beam.live.log_probs[:, :, None] + allowed
        ends, eos_id = totals[:, :, self.target.eos_id], self.target.eos_id
        column = jax.lax.broadcasted_iota(jnp.int32, (1, 1, log_probs.shape[2]), 2)
        going_on, places = best(jnp.where(column == eos_id, -jnp.inf, totals), self.decoding.beam)
        live, attended = beam.live, None
        if attention is not None:
            attended = jnp.argmax(attention, axis=2).astype(jnp.int32)
            live = live._replace(coverage=None if live.coverage is None else live.coverage + attention)

        is_kept = self._are_among_best(ends, going_on, places) & is_on[:, None]
        kept = self._keep(beam, jnp.where(is_kept, ends, -jnp.inf), live.coverage, documents.source_mask)
        ended = beam.ended + jnp.sum(is_kept, axis=1, dtype=jnp.int32)

        parents, tokens = places // log_probs.shape[2], places % log_probs.shape[2]
        live, attended, state = reorder((live, attended, state), parents)
        place = jax.lax.broadcasted_iota(jnp.int32, live.ids.shape, 2) == beam.step[:, None, None]
        live = live._replace(ids=jnp.where(place, tokens[:, :, None], live.ids), log_probs=going_on)
        if live.sources is not None and attended is not None:
            live = live._replace(sources=jnp.where(place, attended[:, :, None], live.sources))
        # Those that were cut off stay as they were.
        live = where(is_on, live, beam.live)
        done = (ended >= self.decoding.beam) | self._cannot_be_beaten(kept, going_on[:, 0])
        step = beam.step + is_on.astype(jnp.int32)
        return Beam(step, live, tokens, state, kept, ended, beam.done | (done & is_on))

    def answers(self, documents: Documents, progress: Beam) -> Answers:
        """Those that have ended, then those that were cut off."""
        log_probs = jnp.where(progress.done[:, None], -jnp.inf, progress.live.log_probs)
        cut = self._ending_here(progress, log_probs, progress.live.coverage, documents.source_mask)
        both = _side_by_side(progress.kept, self._first_ones(cut))
        # Those that are there, in their order: the kept first.
        order = jnp.argsort(both.scores == -jnp.inf, axis=1, stable=True)[:, : self.decoding.n_best]
        return reorder(both, order)

    def _are_among_best(self, ends: jax.Array, going_on: jax.Array, places: jax.Array) -> jax.Array:
        """bool [B, K]: which ends have fewer than K better continuations, ends and others."""
        vocab, width = self.target.vocab_size, self.decoding.beam
        own = jnp.broadcast_to(jnp.arange(width) * vocab + self.target.eos_id, ends.shape)
        values, at = jnp.concatenate([going_on, ends], axis=1), jnp.concatenate([places, own], axis=1)
        mine, others = ends[:, :, None], values[:, None, :]
        is_before = (others > mine) | ((others == mine) & (at[:, None, :] < own[:, :, None]))
        is_among: jax.Array = (jnp.sum(is_before, axis=2) < width) & (ends > -jnp.inf)
        return is_among

    def _keep(
        self, beam: Beam, log_probs: jax.Array, coverage: jax.Array | None, source_mask: jax.Array | None
    ) -> Answers:
        """The best N of those kept and of live hypotheses that end here, with log-probabilities [B, K]."""
        return self._first_ones(_side_by_side(beam.kept, self._ending_here(beam, log_probs, coverage, source_mask)))

    def _ending_here(
        self, beam: Beam, log_probs: jax.Array, coverage: jax.Array | None, source_mask: jax.Array | None
    ) -> Answers:
        """Live hypotheses as answers, [B, K]; minus infinity in `log_probs` is none."""
        lengths = jnp.broadcast_to(beam.step[:, None], log_probs.shape)
        scores = score(
            log_probs,
            lengths,
            coverage,
            source_mask,
            length_alpha=self.decoding.length_penalty,
            coverage_beta=self.decoding.coverage_penalty,
        )
        return Answers(beam.live.ids, lengths, log_probs, scores, beam.live.sources)

    def _first_ones(self, answers: Answers) -> Answers:
        _, order = jax.lax.top_k(answers.scores, self.decoding.n_best)
        return reorder(answers, order)

    def _cannot_be_beaten(self, kept: Answers, live: jax.Array) -> jax.Array:
        """bool [B]: the N-th of the kept is at least as good as anything that may become of the best live one.

        Log-probabilities only fall, and the length penalty of the greatest length is the least; coverage costs nothing
        at best. Where nothing lives, nothing can be better either.
        """
        most = live / length_penalty(self.target.max_length, self.decoding.length_penalty)
        is_less: jax.Array = kept.scores[:, -1] >= most
        return is_less


def _side_by_side(first: Answers, second: Answers) -> Answers:
    joined: Answers = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), first, second)
    return joined


__all__ = ["BeamSearch"]
