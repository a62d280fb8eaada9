"""Lines of text to what a model gives them, line by line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.evaluation import checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.array_types import Stream, StreamLogProbs

WINDOW = 32
"""Time steps that a model is asked for at once. Few shapes: a neural model compiles each anew."""
_MANY, _SOME = 64, 8
"""Lines side by side: as few shapes as make neither one line nor a thousand slow."""


@dataclass(frozen=True, slots=True)
class LineScore:
    """What a model gave to one line, its end included."""

    text: str
    ids: Stream
    """[N], `eos_id` last."""
    log_probs: StreamLogProbs
    """float64 [N], nats."""
    num_unknown: int

    @property
    def nats(self) -> float:
        return -math.fsum(self.log_probs)

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    @property
    def token_perplexity(self) -> float:
        return _exp(self.nats / self.num_tokens)

    @property
    def word_perplexity(self) -> float:
        """The end of the line counts as a word."""
        return _exp(self.nats / (len(self.text.split()) + 1))

    @property
    def bits_per_byte(self) -> float:
        """The end of the line counts as a byte."""
        return self.nats / (math.log(2) * (len(self.text.encode()) + 1))


def _exp(nats: float) -> float:
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def score_lines(model: LanguageModel, tokenizer: Tokenizer, lines: Sequence[str]) -> list[LineScore]:
    """Score each line as if it were the first of its text. Lines of similar length go to the model together."""
    ids = [encode(tokenizer, line) for line in lines]
    scores: dict[int, LineScore] = {}
    for batch in _batches([len(one) for one in ids]):
        log_probs = _score_fresh(model, [ids[i] for i in batch], tokenizer.eos_id)
        scores.update(
            (i, _line_score(tokenizer, lines[i], ids[i], row)) for i, row in zip(batch, log_probs, strict=True)
        )
    return [scores[i] for i in range(len(lines))]


def score_carried(
    model: LanguageModel, tokenizer: Tokenizer, lines: Sequence[str], state: Any
) -> tuple[list[LineScore], Any]:
    """Score lines as one text, each after all those before it.

    Args:
        model: Stateful; for any other model this is slow and gives what `score_lines` gives.
        tokenizer: Of the model.
        lines: In order.
        state: For one stream, from `model.initial_state(1)` or an earlier call.
    """
    scores = []
    for line in lines:
        ids = encode(tokenizer, line)
        log_probs, state = read(model, ids[None], state)
        scores.append(_line_score(tokenizer, line, ids, log_probs[0]))
    return scores, state


def encode(tokenizer: Tokenizer, line: str) -> Stream:
    """The ids of a line and its end."""
    return np.array([*tokenizer.encode(line), tokenizer.eos_id], np.int32)


def read(model: LanguageModel, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Score ids [B, N] of any length, without padding, so that the state after them is exact.

    In windows of 32, 16, 8, … 1: padding would become part of the state, and each other length a compilation.
    """
    parts = [np.zeros((len(ids), 0))]
    offset = 0
    while offset < ids.shape[1]:
        size = min(WINDOW, 1 << ((ids.shape[1] - offset).bit_length() - 1))
        log_probs, state = model.score(ids[:, offset : offset + size], state)
        parts.append(checked(log_probs))
        offset += size
    return np.concatenate(parts, axis=1), state


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Indices of lines that are scored together; the longest has at most twice the windows of the shortest."""

    def size_class(i: int) -> int:
        return math.ceil(lengths[i] / WINDOW).bit_length()

    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(by_length, size_class):
        members = list(group)
        while members:
            rows = _rows(len(members))
            yield members[:rows]
            members = members[rows:]


def _rows(waiting: int) -> int:
    """Rows of the next batch: 1, 8 or 64, padded with empty lines where that beats several smaller batches."""
    if waiting == 1:
        return 1
    return _SOME if waiting <= 3 * _SOME else _MANY


def _score_fresh(model: LanguageModel, lines: list[Stream], eos_id: int) -> list[StreamLogProbs]:
    rows, longest = _rows(len(lines)), max(map(len, lines))
    state = model.initial_state(rows)
    parts = []
    for offset in range(0, longest, WINDOW):
        window = np.full((rows, WINDOW), eos_id, np.int32)
        for row, ids in zip(window, lines, strict=False):
            part = ids[offset : offset + WINDOW]
            row[: len(part)] = part
        log_probs, state = model.score(window, state)
        parts.append(log_probs)
    # Only what a line has is looked at: what a model gives to padding may be anything.
    together = np.concatenate(parts, axis=1)
    return [checked(row[: len(ids)]) for row, ids in zip(together, lines, strict=False)]


def _line_score(tokenizer: Tokenizer, text: str, ids: Stream, log_probs: StreamLogProbs) -> LineScore:
    num_unknown = 0 if tokenizer.unk_id is None else int((ids == tokenizer.unk_id).sum())
    return LineScore(text, ids, log_probs, num_unknown)
