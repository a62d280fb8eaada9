"""Continue a prompt: draw the next token from what the model expects, again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmtool.errors import DataError, UsageError
from lmtool.scoring import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.array_types import Stream

_TOGETHER = 64
"""Samples that are drawn side by side; more would only take more memory ([B, V] of float64)."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    First the temperature, then `top_k`, then `top_p`; what is left is scaled to sum to one.

    Raises:
        UsageError: for a value that has no meaning.

    References: Fan et al., "Hierarchical Neural Story Generation", 2018 (top-k); Holtzman et al., "The Curious Case of
    Neural Text Degeneration", 2020 (top-p).
    """

    temperature: float = 1.0
    """Log-probabilities are divided by it; 0 always takes the most probable token."""
    top_k: int | None = None
    """Only the k most probable tokens."""
    top_p: float | None = None
    """Only the most probable tokens that together have at least this probability."""
    allow_unknown: bool = False
    """False to never draw `<unk>`."""
    max_tokens: int = 200
    """Stop after so many tokens."""
    lines: int = 1
    """Stop after so many ends of lines."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature must be 0 or more, got {self.temperature:g}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be above 0 and at most 1, got {self.top_p:g}")
        for name, value in {"max-tokens": self.max_tokens, "lines": self.lines}.items():
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation of a prompt."""

    ids: Stream
    """[N], the new tokens, the last line's `eos_id` included."""
    log_probs: np.ndarray
    """float64 [N], nats, as the model sees them: before temperature and truncation."""
    text: str
    """What is to be appended to the prompt; without the last line's end."""
    ended: bool
    """True if it came to the end of its lines, False if it was cut at `max_tokens`."""


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    sampling: Sampling,
    *,
    seed: tuple[int, ...] = (0,),
    num_samples: int = 1,
) -> Iterator[Sample]:
    """Continuations of a prompt.

    Args:
        model: Starts from a fresh state.
        tokenizer: Of the model.
        prompt: Text without its last line's end; may be empty.
        sampling: How to choose.
        seed: Sample i is a function of the prompt, the model, `seed` and i, however many are drawn.
        num_samples: How many.
    """
    prompt_ids = encode_prompt(tokenizer, prompt)
    for first in range(0, num_samples, _TOGETHER):
        numbers = range(first, min(first + _TOGETHER, num_samples))
        rngs = [np.random.Generator(np.random.PCG64(np.random.SeedSequence([*seed, i]))) for i in numbers]
        yield from _generate(model, tokenizer, prompt_ids, sampling, rngs)


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids of a text whose last line goes on."""
    *whole, last = prompt.split("\n")
    return [*(id for line in whole for id in (*tokenizer.encode(line), tokenizer.eos_id)), *tokenizer.encode(last)]


def _generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt_ids: list[int],
    sampling: Sampling,
    rngs: list[np.random.Generator],
) -> list[Sample]:
    prompts = np.tile(np.array(prompt_ids, np.int32), (len(rngs), 1))
    _, state = read(model, prompts, model.initial_state(len(rngs)))
    ids, log_probs = np.zeros((len(rngs), 0), np.int32), np.zeros((len(rngs), 0))
    for _ in range(sampling.max_tokens):
        expected = np.asarray(model.next_log_probs(state), np.float64)
        drawn = pick(expected, sampling, np.array([rng.random() for rng in rngs]), _forbidden(tokenizer, sampling))
        ids = np.concatenate([ids, drawn[:, None]], axis=1)
        log_probs = np.concatenate([log_probs, np.take_along_axis(expected, drawn[:, None], 1)], axis=1)
        if ((ids == tokenizer.eos_id).sum(axis=1) >= sampling.lines).all():
            break
        # Streams that have ended go on unheard until the last one ends.
        _, state = model.score(drawn[:, None], state)
    return [_sample(tokenizer, prompt_ids, *row, sampling.lines) for row in zip(ids, log_probs, strict=True)]


def _forbidden(tokenizer: Tokenizer, sampling: Sampling) -> list[int]:
    return [] if tokenizer.unk_id is None or sampling.allow_unknown else [tokenizer.unk_id]


def _sample(tokenizer: Tokenizer, prompt_ids: list[int], ids: Stream, log_probs: np.ndarray, lines: int) -> Sample:
    ends = np.flatnonzero(ids == tokenizer.eos_id)
    ended = len(ends) >= lines
    length = int(ends[lines - 1]) + 1 if ended else len(ids)
    shown = ids[: length - 1] if ended else ids
    return Sample(ids[:length], log_probs[:length], _continuation(tokenizer, prompt_ids, shown.tolist()), ended)


def _continuation(tokenizer: Tokenizer, prompt_ids: list[int], ids: list[int]) -> str:
    """The new text as it follows the prompt: decoded alone it would lack, say, the space before its first word."""
    before, whole = tokenizer.decode(prompt_ids), tokenizer.decode([*prompt_ids, *ids])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(ids)


# Choosing -------------------------------------------------------------------------------------------------------------


def pick(log_probs: np.ndarray, sampling: Sampling, uniform: np.ndarray, forbidden: list[int]) -> np.ndarray:
    """The next token of each stream.

    Args:
        log_probs: float64 [B, V], nats.
        sampling: Temperature and truncation.
        uniform: float64 [B], drawn from [0, 1); the only source of chance.
        forbidden: Ids that are never picked.

    Returns:
        int32 [B].
    """
    scores = log_probs.copy()
    scores[:, forbidden] = -np.inf
    if np.isnan(scores).any():
        raise DataError("the model gives a token no log-probability at all (NaN): its parameters are damaged")
    best = scores.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise DataError("the model expects nothing but <unk> here", hint="`--allow-unknown` lets it say so")
    if sampling.temperature == 0:
        return np.asarray(scores.argmax(axis=1), np.int32)
    with np.errstate(over="ignore"):  # a tiny temperature takes all but the best to minus infinity
        scores = (scores - best) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scores.shape[1]:
        scores[~_top_k(scores, sampling.top_k)] = -np.inf
    probs = np.exp(scores)
    if sampling.top_p is not None:
        probs[~_top_p(probs, sampling.top_p)] = 0.0
    cumulative = probs.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]  # ends in 1.0 exactly, which is above every draw
    return np.asarray((cumulative > uniform[:, None]).argmax(axis=1), np.int32)


def _top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """bool [B, V], True for exactly k of each row; of equal ones, those with lower ids."""
    kth = np.partition(scores, -k, axis=1)[:, [-k]]
    above, equal = scores > kth, scores == kth
    room = k - above.sum(axis=1, keepdims=True)
    kept: np.ndarray = above | (equal & (equal.cumsum(axis=1) <= room))
    return kept


def _top_p(probs: np.ndarray, p: float) -> np.ndarray:
    """bool [B, V], True for the smallest set of most probable tokens with at least p of the row's mass."""
    order = np.argsort(-probs, axis=1, kind="stable")
    ordered = np.take_along_axis(probs, order, axis=1)
    before = ordered.cumsum(axis=1) - ordered
    kept = np.zeros(probs.shape, bool)
    np.put_along_axis(kept, order, before < p * ordered.sum(axis=1, keepdims=True), axis=1)
    return kept
