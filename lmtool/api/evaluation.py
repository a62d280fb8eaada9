"""Numbers out: predictions, the contracts of evaluators and of trackers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


@dataclass(frozen=True, slots=True)
class TokenPredictions:
    """What a language model gave to a stretch of text, made of whole lines.

    All arrays have length N, the number of predicted tokens, the end of each line included. A text comes as a stream of
    these; words and bytes may be told for all of it at once, in a piece without tokens.
    """

    log_probs: np.ndarray
    """float64, nats given to each token."""
    is_unknown: np.ndarray
    """bool, True where the token is the tokenizer's `<unk>`."""
    line: np.ndarray
    """int, the line that each token belongs to; ascending, from 0 in each piece."""
    num_words: int
    """Whitespace-separated words of the text."""
    num_bytes: int
    """UTF-8 bytes of the text, one for each line end included."""
    num_lines: int
    num_unknown_bytes: int = 0
    """UTF-8 bytes of the text's unknown tokens."""
    merges_words: bool = False
    """The tokenizer's `merges_words`."""
    token_unit: str = "subword"
    """The tokenizer's `unit`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of an evaluation."""

    value: float
    n: int
    """What it is a mean over: tokens, words, bytes."""
    stderr: float | None = None
    lower_bound: bool = False
    """True if the model gives unknown words to a class, so that the true figure is higher."""


class Evaluator(Protocol):
    """Numbers from predictions, as a stream: the order and the size of the pieces change nothing.

    Made by `target(config)`.
    """

    takes: Literal["tokens", "classes"]
    """The kind of predictions that it asks for: `TokenPredictions`, or `ClassPredictions` of a classifier.

    One that takes classes may also have `details(state)`: what is no single number, as JSON values: a table a class,
    the confusion matrix.
    """

    def init(self) -> Any: ...

    def update(self, state: Any, predictions: Any) -> Any: ...

    def compute(self, state: Any) -> dict[str, Metric]: ...


class Tracker(Protocol):
    """Somewhere to send metrics. Made by `target(config, run=Path)`. Called on the host, at log intervals only."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...
