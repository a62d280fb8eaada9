"""Lines of text to what a model gives them, many lines at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lmtool.data.blocks import encode_text
from lmtool.data.counts import bytes_by_line, chars_by_line, words_by_line
from lmtool.evaluation import checked
from lmtool.posterior import SampledLanguageModel, log_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.array_types import Stream, StreamLogProbs

WINDOW = 32
"""Time steps that a stateful model is asked for at once. Few shapes: a neural model compiles each anew."""
_SHORT = (8, 16)
"""Windows for lines that are shorter, where there are many."""
_MANY, _SOME = 64, 8
"""Lines side by side: as few shapes as make neither one line nor a thousand slow."""

QUANTITIES = (
    "nats",
    "tokens",
    "unknown",
    "words",
    "chars",
    "bytes",
    "token_perplexity",
    "word_perplexity",
    "bits_per_byte",
)
"""What is known of each line: the attributes of `Scores` that are arrays [L]."""
SPREAD = "nats_sd"
"""What is known besides, where weights are drawn from a posterior."""


@dataclass(frozen=True)
class Scores:
    """What a model gave to L lines, their ends included: arrays with an entry a line, worked out when asked for."""

    text: str
    """The lines, each with its `\\n`."""
    tokenizer: Tokenizer
    ids: Stream
    """[N], `eos_id` after each line."""
    log_probs: StreamLogProbs
    """float64 [N], nats."""
    orders: np.ndarray | None = None
    """int8 [N], the length of the n-gram that each token was found by; None if the model has none, or nobody asked."""
    sampled: np.ndarray | None = None
    """float64 [K, N], nats, what each sample of the weights gives, where `log_probs` is of their average."""

    def __len__(self) -> int:
        return len(self.stops)

    @cached_property
    def stops(self) -> np.ndarray:
        """int64 [L], the offset behind each line's last token."""
        stops: np.ndarray = np.flatnonzero(self.ids == self.tokenizer.eos_id) + 1
        return stops

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 [L], the offset of each line's first token."""
        return np.concatenate([np.zeros(1, np.int64), self.stops[:-1]])[: len(self)]

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")[:-1]

    @cached_property
    def is_unknown(self) -> np.ndarray:
        """bool [N]."""
        unk_id = self.tokenizer.unk_id
        return np.zeros(len(self.ids), bool) if unk_id is None else self.ids == unk_id

    @cached_property
    def nats(self) -> np.ndarray:
        """-ln of a line's probability."""
        return _sum_by_line(0.0 - self.log_probs, self.starts)  # what is sure costs 0, not -0

    @cached_property
    def nats_sd(self) -> np.ndarray:
        """The standard deviation over samples of the weights of a line's nats; NaN for a single one."""
        sums = [_sum_by_line(0.0 - one, self.starts) for one in self._samples]
        return _deviation(np.stack(sums))

    @cached_property
    def token_sd(self) -> np.ndarray:
        """float64 [N], the same of each token's nats."""
        return _deviation(self._samples)

    @property
    def _samples(self) -> np.ndarray:
        if self.sampled is None:
            raise ValueError("there is one set of weights, and no spread")
        return self.sampled

    @cached_property
    def tokens(self) -> np.ndarray:
        """The end counts as one."""
        tokens: np.ndarray = self.stops - self.starts
        return tokens

    @cached_property
    def unknown(self) -> np.ndarray:
        """Tokens that are `<unk>`."""
        if not self.is_unknown.any():
            return np.zeros(len(self), np.int64)
        return _sum_by_line(self.is_unknown.astype(np.int64), self.starts)

    @cached_property
    def words(self) -> np.ndarray:
        """Whitespace-separated words; the end is none."""
        return self.tokens - 1 if self.tokenizer.unit == "word" else words_by_line(self.text)

    @cached_property
    def chars(self) -> np.ndarray:
        """Unicode code points, one for the end included."""
        return chars_by_line(self.text)

    @cached_property
    def bytes(self) -> np.ndarray:
        """Of UTF-8, one for the end included."""
        return bytes_by_line(self.text)

    @cached_property
    def token_perplexity(self) -> np.ndarray:
        return _exp(self.nats / self.tokens)

    @cached_property
    def word_perplexity(self) -> np.ndarray:
        """The end of the line counts as a word."""
        return _exp(self.nats / (self.words + 1))

    @cached_property
    def bits_per_byte(self) -> np.ndarray:
        return self.nats / (math.log(2) * self.bytes)

    def kept_text(self, kept: np.ndarray) -> str:
        """The lines where `kept`, bool [L], says so, each with its `\\n`."""
        return self._text_where(kept)

    def select(self, kept: np.ndarray) -> Self:
        """The scores of these lines."""
        tokens = np.repeat(kept, self.tokens)
        orders = None if self.orders is None else self.orders[tokens]
        sampled = None if self.sampled is None else self.sampled[:, tokens]
        text, ids, log_probs = self._text_where(kept), self.ids[tokens], self.log_probs[tokens]
        return replace(self, text=text, ids=ids, log_probs=log_probs, orders=orders, sampled=sampled)

    def _text_where(self, kept: np.ndarray) -> str:
        if kept.all():
            return self.text
        return "".join([f"{line}\n" for line in compress(self.lines, kept.tolist())])


def _sum_by_line(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    sums: np.ndarray = np.add.reduceat(values, starts) if len(starts) else values
    return sums


def _deviation(samples: np.ndarray) -> np.ndarray:
    """Of K numbers each, [K, N] to [N]; NaN for K = 1."""
    if len(samples) == 1:
        return np.full(samples.shape[1], np.nan)
    with np.errstate(invalid="ignore"):  # what a sample thinks impossible
        deviations: np.ndarray = samples.std(axis=0, ddof=1)
    return deviations


def _exp(nats: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        exponentials: np.ndarray = np.exp(nats)
    return exponentials


def score_lines(model: LanguageModel, tokenizer: Tokenizer, text: str, *, orders: bool = False) -> Scores:
    """Score each line as if it were the first of its text.

    A model that starts each line anew reads all lines as one stream; any other reads many lines side by side.

    Args:
        model: Threads may score with it at once if it starts each line anew.
        tokenizer: Of the model.
        text: Lines, each with its `\\n`.
        orders: Ask for the orders of matches, too, where the model has `match`.
    """
    ids = encode_lines(tokenizer, text)
    if isinstance(model, SampledLanguageModel):
        return _averaged(text, tokenizer, ids, [_score_alone(one, ids, tokenizer.eos_id) for one in model.samples])
    if orders and not model.stateful and hasattr(model, "match"):
        log_probs, matched, _ = model.match(ids[None], model.initial_state(1))
        return Scores(text, tokenizer, ids, checked(log_probs[0]), np.asarray(matched[0]))
    return Scores(text, tokenizer, ids, _score_alone(model, ids, tokenizer.eos_id))


def _score_alone(model: LanguageModel, ids: Stream, eos_id: int) -> StreamLogProbs:
    """float64 [N], of lines each of which is the first of its text."""
    if model.stateful:
        return _score_side_by_side(model, ids, eos_id)
    log_probs, _ = model.score(ids[None], model.initial_state(1))
    return checked(log_probs[0])


def _averaged(text: str, tokenizer: Tokenizer, ids: Stream, samples: list[StreamLogProbs]) -> Scores:
    return Scores(text, tokenizer, ids, log_mean(samples), sampled=np.stack(samples))


def score_carried(model: LanguageModel, tokenizer: Tokenizer, text: str, state: Any) -> tuple[Scores, Any]:
    """Score lines as one text, each after all those before it.

    Args:
        model: Stateful; any other model gives what `score_lines` gives.
        tokenizer: Of the model.
        text: Lines, each with its `\\n`.
        state: For one stream, from `model.initial_state(1)` or an earlier call.
    """
    ids = encode_lines(tokenizer, text)
    if isinstance(model, SampledLanguageModel):
        pairs = [read(one, ids[None], own) for one, own in zip(model.samples, state, strict=True)]
        return _averaged(text, tokenizer, ids, [log_probs[0] for log_probs, _ in pairs]), tuple(own for _, own in pairs)
    log_probs, state = read(model, ids[None], state)
    return Scores(text, tokenizer, ids, log_probs[0]), state


def encode_lines(tokenizer: Tokenizer, text: str) -> Stream:
    """The ids of lines, each with its `\\n`; the tokenizer's `eos_id` after each and nowhere else."""
    ids = encode_text(tokenizer, text)
    num_lines, ends = text.count("\n"), int(np.count_nonzero(ids == tokenizer.eos_id))
    if ends != num_lines:
        raise ValueError(f"{type(tokenizer).__name__} gave {ends} line ends for {num_lines} lines")
    return ids


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


# Lines side by side ---------------------------------------------------------------------------------------------------


def _score_side_by_side(model: LanguageModel, ids: Stream, eos_id: int) -> StreamLogProbs:
    """float64 [N]: each line from a fresh state, lines of similar length together."""
    stops = np.flatnonzero(ids == eos_id) + 1
    lengths = np.diff(stops, prepend=0)
    log_probs = np.zeros(len(ids))
    for members, rows, window in _batches(lengths):
        sizes, starts = lengths[members], stops[members] - lengths[members]
        columns = np.arange(-(-sizes.max() // window) * window)
        inside = columns < sizes[:, None]
        places = (starts[:, None] + columns)[inside]
        padded = np.full((rows, len(columns)), eos_id, np.int32)
        padded[: len(members)][inside] = ids[places]
        # Only what a line has is looked at: what a model gives to padding may be anything.
        log_probs[places] = checked(_score_padded(model, padded, window)[: len(members)][inside])
    return log_probs


def _score_padded(model: LanguageModel, ids: np.ndarray, window: int) -> np.ndarray:
    state = model.initial_state(len(ids))
    parts = []
    for offset in range(0, ids.shape[1], window):
        log_probs, state = model.score(ids[:, offset : offset + window], state)
        parts.append(log_probs)
    return np.concatenate(parts, axis=1)


def _batches(lengths: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
    """Indices of lines that are scored together, the rows they get, and the time steps of a window.

    Short lines have short windows where they fill whole batches; of those in longer windows, the longest has at most
    twice as many as the shortest.
    """
    by_length = np.argsort(lengths, kind="stable")
    in_order = lengths[by_length]
    done = 0
    for window in _SHORT:
        whole = (np.searchsorted(in_order, window, "right") - done) // _MANY
        for _ in range(whole):
            yield by_length[done : done + _MANY], _MANY, window
            done += _MANY
    limit = WINDOW
    while done < len(lengths):
        stop = int(np.searchsorted(in_order, limit, "right"))
        while done < stop:
            rows = _rows(stop - done)
            yield by_length[done : min(done + rows, stop)], rows, WINDOW
            done += rows
        done, limit = min(done, stop), 2 * limit


def _rows(waiting: int) -> int:
    """Rows of the next batch: 1, 8 or 64, padded with empty lines where that beats several smaller batches."""
    if waiting == 1:
        return 1
    return _SOME if waiting <= 3 * _SOME else _MANY
