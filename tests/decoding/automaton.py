"""Made-up decoders whose next-token probabilities depend on the whole prefix, and all their answers, one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.decoding import Answers, Target, decode
from lmtool.settings import DecodingConfig

MODULUS = 997


@dataclass(frozen=True)
class Automaton:
    """A state is a hash of the document's number and of all tokens so far, and picks a row of a table.

    The document is where the first state begins, and the memory that each step looks at.
    """

    table: np.ndarray
    """float32 [MODULUS, V], log-probabilities."""
    attention: np.ndarray | None = None
    """float32 [MODULUS, S], probabilities."""

    @classmethod
    def random(cls, seed: int, vocab: int, *, places: int = 0, spread: float = 1.5) -> Automaton:
        rng = np.random.default_rng(seed)
        logits = rng.normal(scale=spread, size=(MODULUS, vocab)).astype(np.float32)
        table = np.array(jax.nn.log_softmax(logits, axis=1))
        return cls(table, rng.dirichlet(np.ones(places), MODULUS).astype(np.float32) if places else None)

    @property
    def vocab(self) -> int:
        return self.table.shape[1]

    def target(self, max_length: int, eos_id: int = 1) -> Target:
        return Target(self.vocab, eos_id, max_length)

    def decode(
        self,
        documents: jax.Array,
        max_length: int,
        decoding: DecodingConfig,
        *,
        slots: int | None = None,
        **arrays: Any,
    ) -> Answers:
        """Answers to documents, int32 [B] numbers; all automata of a size share what is compiled."""
        target = self.target(max_length)
        return _decode(self.table, self.attention, jnp.asarray(documents), target, decoding, slots, arrays)

    def states(self, document: int, ids: Sequence[int]) -> list[int]:
        """Before each token, and the end."""
        states = [document]
        for token in (self.vocab, *ids):
            states.append((states[-1] * 31 + token * 7 + document * 13 + 1) % MODULUS)
        return states[1:]

    def log_probs(self, document: int, ids: Sequence[int]) -> np.ndarray:
        """float32 [len(ids) + 1, V]: what may come at each place."""
        return self.table[self.states(document, ids)]


@partial(jax.jit, static_argnames=("target", "decoding", "slots"))
def _decode(
    table: jax.Array,
    attention: jax.Array | None,
    documents: jax.Array,
    target: Target,
    decoding: DecodingConfig,
    slots: int | None,
    arrays: dict[str, Any],
) -> Answers:
    def step(memory: jax.Array, state: jax.Array, ids: jax.Array) -> tuple[jax.Array, jax.Array | None, jax.Array]:
        state = (state * 31 + ids * 7 + memory[:, None] * 13 + 1) % MODULUS
        return table[state], None if attention is None else attention[state], state

    return decode(step, documents, target, decoding, memory=documents, slots=slots, **arrays)


@dataclass(frozen=True)
class Rules:
    """What is an answer, said a second time: by trying all."""

    max_length: int
    eos_id: int = 1
    min_length: int = 0
    no_repeat_ngram: int = 0
    prefix: tuple[int, ...] = ()
    alpha: float = 1.0
    beta: float = 0.0

    def forbids(self, ids: tuple[int, ...], token: int) -> bool:
        n = self.no_repeat_ngram
        grams = [ids[start : start + n] for start in range(len(ids) - n + 1)]
        return bool(n) and len(ids) >= n - 1 and (*ids[len(ids) - n + 1 :], token) in grams

    def may_follow(self, ids: tuple[int, ...], vocab: int) -> list[int]:
        if len(ids) < len(self.prefix):
            return [self.prefix[len(ids)]]
        going_on = [token for token in range(vocab) if token != self.eos_id and not self.forbids(ids, token)]
        return going_on + [self.eos_id] * (len(ids) >= self.min_length or not going_on)


@dataclass(frozen=True)
class Answer:
    ids: tuple[int, ...]
    log_prob: float
    score: float
    ended: bool


def all_answers(model: Automaton, document: int, rules: Rules) -> list[Answer]:
    """The best first; those that ended come before those that were cut off."""
    answers = [_scored(model, document, ids, ended, rules) for ids, ended in _tried((), model.vocab, rules)]
    return sorted(answers, key=lambda answer: (not answer.ended, -answer.score))


def _tried(ids: tuple[int, ...], vocab: int, rules: Rules) -> Iterator[tuple[tuple[int, ...], bool]]:
    if len(ids) == rules.max_length:
        yield ids, False
        return
    for token in rules.may_follow(ids, vocab):
        if token == rules.eos_id and len(ids) >= len(rules.prefix):
            yield ids, True
        else:
            yield from _tried((*ids, token), vocab, rules)


def _scored(model: Automaton, document: int, ids: tuple[int, ...], ended: bool, rules: Rules) -> Answer:
    said = [*ids, rules.eos_id] if ended else list(ids)
    states = model.states(document, ids)[: len(said)]
    log_prob = float(sum(np.float64(model.table[state, token]) for state, token in zip(states, said, strict=True)))
    score = log_prob / ((5 + len(ids)) / 6) ** rules.alpha
    if rules.beta and model.attention is not None:
        covered = model.attention[states].sum(axis=0)
        score += rules.beta * sum(math.log(min(one, 1.0)) for one in covered.tolist())
    return Answer(ids, log_prob, score, ended)
