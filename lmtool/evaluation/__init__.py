"""A language model and a text to predictions, and those to the evaluators' numbers.

The text is cut at line ends into B contiguous pieces that are read side by side, T tokens at a time, so that memory is
bounded by `[B, T]` and the longest lines, whatever the text's length. A stateful model starts each piece with a fresh
state and carries it across the lines of the piece; any other model starts each line anew, by its own contract.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np

from lmtool.api import Evaluator, Metric, TokenPredictions
from lmtool.config import Choice, EvaluationConfig, choose_inline
from lmtool.errors import ConfigError, DataError
from lmtool.evaluation.blocks import Blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmtool.api import LanguageModel, TextEvaluator, Tokenizer
    from lmtool.array_types import Stream, StreamLogProbs
    from lmtool.predicts import Predicts
    from lmtool.registry import Registry


DEFAULT_EVALUATORS = {
    "tokens": ("perplexity",),
    "classes": ("classification", "log-loss"),
    "texts": ("bleu", "chrf"),
}
"""What is computed where a config names no evaluators, by what the model gives."""
GIVES = {
    "tokens": "a language model gives tokens",
    "classes": "a classifier gives classes",
    "texts": "a text-to-text model gives texts",
}


class TokenText(Protocol):
    """Ids of whole lines, `eos_id` after each, and what was counted when they were made: a dataset's split."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def num_words(self) -> int: ...

    @property
    def num_bytes(self) -> int: ...

    @property
    def num_unknown_bytes(self) -> int: ...

    def read(self, start: int, stop: int) -> Stream: ...


@dataclass(frozen=True)
class Evaluation:
    """What came of evaluating one model on one text."""

    metrics: dict[str, Metric]
    streams: int
    """Pieces that the text was read in."""
    carried: bool
    """True if the state was carried across lines."""
    seconds: float
    adapts: bool = False
    """True if the model went on learning from the text while it was evaluated on it, as a cache does."""
    blocks: Blocks | None = None
    """What parts of the text cost, for comparisons with other models on the same text."""


def evaluate(
    model: LanguageModel,
    text: TokenText,
    tokenizer: Tokenizer,
    evaluators: list[Evaluator],
    *,
    config: EvaluationConfig,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Evaluation:
    """Every evaluator's numbers.

    Args:
        model: Its ids are the tokenizer's.
        text: Of whole lines.
        tokenizer: Tells ends of lines and unknown tokens.
        evaluators: From `make_evaluators`.
        config: `batch_size` pieces, windows of `bptt`.
        progress: Called with the fraction of the work that is done, 0 to 1.

    Raises:
        DataError: if there is no text, or the model gives something that no probability has.
        ConfigError: if two evaluators give the same metric.
    """
    if not text.num_tokens:
        raise DataError("there is no text to evaluate on: it has no lines")
    start = time.perf_counter()
    streams = cut(text, tokenizer.eos_id, config.batch_size)
    states = [evaluator.init() for evaluator in evaluators]
    blocks = Blocks(text.num_tokens)
    for piece, fraction in predictions(model, text, tokenizer, streams, bptt=config.bptt, blocks=blocks):
        states = [one.update(state, piece) for one, state in zip(evaluators, states, strict=True)]
        progress(fraction)
    metrics: dict[str, Metric] = {}
    for evaluator, state in zip(evaluators, states, strict=True):
        merge(metrics, evaluator.compute(state))
    seconds = time.perf_counter() - start
    return Evaluation(metrics, len(streams), model.stateful, seconds, getattr(model, "adapts", False), blocks)


@overload
def make_evaluators(
    config: EvaluationConfig, registry: Registry, *, takes: Literal["tokens", "classes"] = "tokens"
) -> list[Evaluator]: ...


@overload
def make_evaluators(
    config: EvaluationConfig, registry: Registry, *, takes: Literal["texts"]
) -> list[TextEvaluator]: ...


def make_evaluators(
    config: EvaluationConfig, registry: Registry, *, takes: Literal["tokens", "classes", "texts"] = "tokens"
) -> list[Any]:
    """The evaluators that a config names, or the usual ones.

    Args:
        config: Whose `evaluators` are wanted.
        registry: Where they are looked up.
        takes: What the model gives.

    Raises:
        ConfigError: if one asks for something else or, of texts, two give a figure of the same name; of others, if two
            are the same.
    """
    settings = config.evaluators or DEFAULT_EVALUATORS[takes]
    hint = f"leave evaluation.evaluators out for {', '.join(DEFAULT_EVALUATORS[takes])}"
    return evaluators_of(settings, registry, takes=takes, where="evaluation.evaluators", hint=hint)


def evaluators_of(
    settings: Sequence[str | dict[str, Any]],
    registry: Registry,
    *,
    takes: Predicts,
    where: str,
    hint: str | None = None,
) -> list[Any]:
    """Those with these settings.

    Args:
        settings: Names, or tables with a name and settings.
        registry: Where they are looked up.
        takes: What the model gives.
        where: The settings' key, for messages.
        hint: For one that asks for something else.

    Raises:
        ConfigError: if one asks for something else or, of texts, two give a figure of the same name; of others, if two
            are the same.
    """
    evaluators: list[Any] = []
    chosen: list[Choice] = []
    for setting in settings:
        choice = choose_inline("evaluator", setting, registry, where)
        if takes != "texts" and choice in chosen:
            raise ConfigError(f"{where}: '{choice.name}' stands there twice with the same settings; leave one out")
        chosen.append(choice)
        evaluator = choice.load()(choice.config)
        if evaluator.takes != takes:
            raise ConfigError(f"{where}: '{choice.name}' takes {evaluator.takes}, {GIVES[takes]}", hint)
        if takes == "texts":  # only these say beforehand what they give
            for name in evaluator.names:
                if any(name in one.names for one in evaluators):
                    raise ConfigError(f"{where}: two of them give '{name}'; leave one out")
        evaluators.append(evaluator)
    return evaluators


def merge(metrics: dict[str, Metric], more: dict[str, Metric]) -> None:
    """Add one evaluator's numbers. Raises ConfigError if another gave one of the same name."""
    for name in more:
        if name in metrics:
            raise ConfigError(f"evaluation.evaluators: two of them give '{name}'; leave one out")
    metrics.update(more)


# Predictions ----------------------------------------------------------------------------------------------------------


def cut(text: TokenText, eos_id: int, pieces: int) -> list[tuple[int, int]]:
    """Contiguous pieces of whole lines, as even as the lines allow: `(start, stop)` of each, none empty."""
    ends = [0]
    for piece in range(1, pieces):
        ends.append(_line_start(text, max(text.num_tokens * piece // pieces, ends[-1]), eos_id))
    ends.append(text.num_tokens)
    return [(start, stop) for start, stop in pairwise(ends) if start < stop]


def _line_start(text: TokenText, position: int, eos_id: int, block: int = 1 << 16) -> int:
    """The first start of a line at or after a position; the text's length if there is none."""
    if position == 0:
        return 0
    for start in range(position - 1, text.num_tokens, block):
        found = np.flatnonzero(text.read(start, min(start + block, text.num_tokens)) == eos_id)
        if len(found):
            return start + int(found[0]) + 1
    return text.num_tokens


def predictions(
    model: LanguageModel,
    text: TokenText,
    tokenizer: Tokenizer,
    streams: list[tuple[int, int]],
    *,
    bptt: int,
    blocks: Blocks | None = None,
) -> Iterator[tuple[TokenPredictions, float]]:
    """Predictions for every token of the text once, whole lines at a time, and the fraction of the work done.

    What they cost is added to `blocks`.

    Words and bytes are known for the text as a whole only: they come with the last piece, which has no tokens.
    """
    longest = max(stop - start for start, stop in streams)
    lines, done = [_Lines(tokenizer.eos_id) for _ in streams], [start for start, _ in streams]
    state: Any = model.initial_state(len(streams))
    predicted = 0
    for offset in range(0, longest, bptt):
        ids, lengths = _window(text, streams, offset, bptt, tokenizer.eos_id)
        log_probs, state = model.score(ids, state)
        rows = zip(lines, ids, log_probs, lengths, strict=True)
        whole = [line.push(row[:length], values[:length]) for line, row, values, length in rows]
        if blocks is not None:
            for row, (line_ids, values) in enumerate(whole):
                blocks.add(done[row], line_ids, values, tokenizer.eos_id)
                done[row] += len(line_ids)
        values = checked(np.concatenate([values for _, values in whole]))
        piece = as_predictions(np.concatenate([row for row, _ in whole]), values, tokenizer)
        predicted += len(piece.log_probs)
        yield piece, min(1.0, (offset + bptt) / longest)
    if predicted != text.num_tokens:
        raise DataError(
            f"the text is damaged: its last line has no end ({text.num_tokens - predicted} tokens are left)"
        )
    yield _text_counts(text, tokenizer), 1.0


def _window(
    text: TokenText, streams: list[tuple[int, int]], offset: int, bptt: int, eos_id: int
) -> tuple[np.ndarray, list[int]]:
    """One window of each stream, [B, T], and how many of its tokens are text.

    Padding comes after a stream's last token and is never predicted for anything that counts. T is always `bptt`, also
    in the last window: another shape would be compiled anew.
    """
    ids = np.full((len(streams), bptt), eos_id, np.int32)
    lengths = []
    for row, (start, stop) in zip(ids, streams, strict=True):
        begin, end = min(start + offset, stop), min(start + offset + bptt, stop)
        row[: end - begin] = text.read(begin, end)
        lengths.append(end - begin)
    return ids, lengths


class DamagedModelError(DataError):
    """The model gives something that is no log-probability."""


def checked(log_probs: np.ndarray) -> np.ndarray:
    """As float64. Raises DamagedModelError if one of them is no log-probability."""
    log_probs = np.asarray(log_probs, np.float64)
    # A float32 softmax may round a sure thing to a little more than one.
    if not (log_probs < 1e-3).all():
        wrong = log_probs[~(log_probs < 1e-3)][0]
        raise DamagedModelError(f"the model gives a token the log-probability {wrong:g}: its parameters are damaged")
    return log_probs


class _Lines:
    """Puts the windows of one stream together to whole lines."""

    def __init__(self, eos_id: int) -> None:
        self._eos_id = eos_id
        self._pending: list[tuple[Stream, StreamLogProbs]] = []

    def push(self, ids: Stream, log_probs: StreamLogProbs) -> tuple[Stream, StreamLogProbs]:
        """The lines that end in this window, with what earlier windows hold of the first of them."""
        ends = np.flatnonzero(ids == self._eos_id)
        if not len(ends):
            self._pending.append((ids, log_probs))
            return ids[:0], log_probs[:0]
        end = ends[-1] + 1
        whole = [*self._pending, (ids[:end], log_probs[:end])]
        self._pending = [(ids[end:], log_probs[end:])]
        return np.concatenate([one for one, _ in whole]), np.concatenate([one for _, one in whole])


def as_predictions(ids: Stream, log_probs: StreamLogProbs, tokenizer: Tokenizer) -> TokenPredictions:
    """Predictions of whole lines, whose words and bytes are not counted."""
    ends = ids == tokenizer.eos_id
    unknown = np.zeros(len(ids), bool) if tokenizer.unk_id is None else ids == tokenizer.unk_id
    return TokenPredictions(
        log_probs=log_probs,
        is_unknown=unknown,
        line=np.cumsum(ends) - ends,  # an end belongs to the line that it ends
        num_words=0,
        num_bytes=0,
        num_lines=int(ends.sum()),
        merges_words=tokenizer.merges_words,
        token_unit=tokenizer.unit,
    )


def _text_counts(text: TokenText, tokenizer: Tokenizer) -> TokenPredictions:
    return TokenPredictions(
        log_probs=np.zeros(0),
        is_unknown=np.zeros(0, bool),
        line=np.zeros(0, np.int64),
        num_words=text.num_words,
        num_bytes=text.num_bytes,
        num_lines=0,
        num_unknown_bytes=text.num_unknown_bytes,
        merges_words=tokenizer.merges_words,
        token_unit=tokenizer.unit,
    )
