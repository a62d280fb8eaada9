"""Perplexity of a text, per token, per word and per byte."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lmtool.api import Metric, TokenPredictions
from lmtool_evaluators.ratio import RatioSums

if TYPE_CHECKING:
    from lmtool_evaluators.config import PerplexityConfig


class Sums(NamedTuple):
    """What has been seen of a text; all that `Perplexity` remembers."""

    all: RatioSums = RatioSums()
    """Nats and tokens of each line."""
    known: RatioSums = RatioSums()
    """The same without unknown tokens."""
    unknown: RatioSums = RatioSums()
    """Unknown tokens, and tokens that could have been: all but the end of the line."""
    lines: int = 0
    words: int = 0
    num_bytes: int = 0
    unknown_bytes: int = 0
    unit: str = ""
    merges_words: bool = False


class Perplexity:
    """See `PerplexityConfig` for what each figure is.

    The standard errors of per-token figures are those of `RatioSums`, carried through exp and log by the delta method:
    stderr(exp R) = exp(R)·stderr(R). Per-word and per-byte figures take the same relative error of the nats: how many
    tokens the text has to a word or a byte is taken as known. That is exact where a token is a word, or a byte.

    Left out: `word_perplexity_without_oov` where tokens are not words and the text holds unknown ones (to leave a part
    of a word out of a sum over words means nothing); per-word and per-byte figures where nobody counted the text's
    words and bytes.
    """

    takes: Literal["tokens"] = "tokens"

    def __init__(self, config: PerplexityConfig) -> None:
        self.config = config

    def init(self) -> Sums:
        return Sums()

    def update(self, state: Sums, predictions: TokenPredictions) -> Sums:
        """Sums with one more piece of text."""
        piece = _sums(predictions)
        return Sums(
            all=state.all.plus(piece.all),
            known=state.known.plus(piece.known),
            unknown=state.unknown.plus(piece.unknown),
            lines=state.lines + piece.lines,
            words=state.words + piece.words,
            num_bytes=state.num_bytes + piece.num_bytes,
            unknown_bytes=state.unknown_bytes + piece.unknown_bytes,
            unit=state.unit or piece.unit,
            merges_words=state.merges_words or piece.merges_words,
        )

    def compute(self, state: Sums) -> dict[str, Metric]:
        """The figures; none of no text."""
        if not state.all.n:
            return {}
        open_end = state.unknown.x > 0 or state.merges_words
        metrics = {
            **_figures(state.all, state.words + state.lines, state.num_bytes, open_end=open_end),
            **{f"{name}_without_oov": metric for name, metric in _without_oov(state).items()},
        }
        if state.unknown.n:
            metrics["oov_rate"] = _rate(state.unknown)
        nats = state.all.x
        metrics["nats"] = Metric(nats, int(state.all.n), _times(state.all.relative_stderr, nats))
        return metrics


def _sums(predictions: TokenPredictions) -> Sums:
    nats = -np.asarray(predictions.log_probs, np.float64)
    unknown = np.asarray(predictions.is_unknown, bool)
    line = np.asarray(predictions.line)
    starts = np.flatnonzero(np.diff(line, prepend=line[0] - 1)) if len(line) else np.zeros(0, np.int64)

    def by_line(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64, copy=False)
        return np.add.reduceat(values, starts) if len(starts) else np.zeros(0)

    tokens, unknowns = by_line(np.ones_like(nats)), by_line(unknown)
    return Sums(
        all=RatioSums.of(by_line(nats), tokens),
        known=RatioSums.of(by_line(np.where(unknown, 0.0, nats)), tokens - unknowns),
        unknown=RatioSums.of(unknowns, tokens - 1),
        lines=predictions.num_lines,
        words=predictions.num_words,
        num_bytes=predictions.num_bytes,
        unknown_bytes=predictions.num_unknown_bytes,
        unit=predictions.token_unit,
        merges_words=predictions.merges_words,
    )


def _figures(sums: RatioSums, words: int, num_bytes: int, *, open_end: bool) -> dict[str, Metric]:
    """The three figures of some positions; those that are not defined there are left out.

    Args:
        sums: Nats and tokens.
        words: Words and line ends, 0 if not known or not defined.
        num_bytes: 0 if not known.
        open_end: True if a token may stand for a class of words: an unknown one, or one without its case.
    """
    error = sums.relative_stderr
    metrics = {"token_perplexity": _perplexity(sums.x, int(sums.n), error)}
    # A text has at least one byte and one end of line a line: fewer mean that nobody counted them.
    if num_bytes >= sums.lines:
        if words:
            metrics["word_perplexity"] = _perplexity(sums.x, words, error, lower_bound=open_end)
        bits = sums.x / (math.log(2) * num_bytes)
        metrics["bits_per_byte"] = Metric(bits, num_bytes, _times(error, bits), lower_bound=open_end)
    return metrics


def _without_oov(state: Sums) -> dict[str, Metric]:
    num_unknown = int(state.unknown.x)
    words = state.words + state.lines - num_unknown
    words_defined = state.unit == "word" or not num_unknown
    bytes_defined = bool(state.unknown_bytes) or not num_unknown
    num_bytes = state.num_bytes - state.unknown_bytes
    figures = _figures(state.known, words if words_defined else 0, num_bytes, open_end=state.merges_words)
    if not bytes_defined:
        figures.pop("bits_per_byte", None)
    return figures


def _perplexity(nats: float, n: int, error: float | None, *, lower_bound: bool = False) -> Metric:
    value = perplexity(nats, n)
    return Metric(value, n, _times(error, value * nats / n), lower_bound)


def _rate(unknown: RatioSums) -> Metric:
    rate = unknown.x / unknown.n
    return Metric(rate, int(unknown.n), _times(unknown.relative_stderr, rate))


def _times(error: float | None, value: float) -> float | None:
    return None if error is None or not math.isfinite(error * value) else error * value


def perplexity(nats: float, n: int) -> float:
    """exp(nats / n); infinite if any of n events had probability zero, or where the figure has no float.

    >>> round(perplexity(nats=4 * math.log(8), n=4), 6)
    8.0
    """
    try:
        return math.exp(nats / n)
    except OverflowError:
        return math.inf
