"""A language model whose weights follow what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmtool_dynamic.rules import copy

if TYPE_CHECKING:
    from lmtool.api import AdaptableModel
    from lmtool_dynamic.rules import Learner, Rule


class Stream(NamedTuple):
    """What one stream has read, and what was learned from it."""

    params: Any
    """Learned from all segments that are whole."""
    before: Any
    """The model's state before the segment that is being read."""
    now: Any
    """The model's state after the last token."""
    pending: np.ndarray
    """int32 [n], the tokens between the two; fewer than a segment has."""


class Adapting:
    """See `lmtool.api.LanguageModel`. The state is a tuple of streams, each with weights of its own.

    A stream is cut into segments from its start on, wherever calls begin and end: each segment is predicted with the
    weights that were learned from all before it, and once it is whole they take a step.

    Args:
        model: Its weights are where every stream starts.
        learner: For `model`.
        rule: The sizes of a step.
        segment: Tokens in a segment.
    """

    stateful = True
    adapts = True

    def __init__(self, model: AdaptableModel, learner: Learner, rule: Rule, segment: int) -> None:
        self.model, self.learner, self.rule, self.segment = model, learner, rule, segment
        self.vocab_size = model.vocab_size

    def initial_state(self, batch_size: int) -> tuple[Stream, ...]:
        fresh = self.model.initial_state(1)
        return (Stream(self.model.params, fresh, fresh, np.zeros(0, np.int32)),) * batch_size

    def score(self, ids: np.ndarray, state: tuple[Stream, ...]) -> tuple[np.ndarray, tuple[Stream, ...]]:
        log_probs = np.empty(ids.shape, np.float32)
        after = []
        for row, stream in enumerate(state):
            log_probs[row], stream = self._read(np.asarray(ids[row], np.int32), stream)
            after.append(stream)
        return log_probs, tuple(after)

    def _read(self, ids: np.ndarray, stream: Stream) -> tuple[np.ndarray, Stream]:
        log_probs = np.empty(ids.shape, np.float32)
        start, mine = 0, False
        while start < len(ids):
            piece = ids[start : start + self.segment - len(stream.pending)]
            is_whole = len(stream.pending) + len(piece) == self.segment
            if is_whole and not mine:  # the caller may come back to the weights of its state
                stream, mine = stream._replace(params=copy(stream.params)), True
            log_probs[start : start + len(piece)], stream = self._read_piece(piece, stream, is_whole=is_whole)
            start += len(piece)
        return log_probs, stream

    def _read_piece(self, ids: np.ndarray, stream: Stream, *, is_whole: bool) -> tuple[Any, Stream]:
        """Up to the end of a segment; if that is reached, the stream's weights are used up."""
        log_probs: Any = None
        if not is_whole or len(stream.pending):  # else the step gives them as well
            scores, now = self.model.with_params(stream.params).score(ids[None], stream.now)
            log_probs, stream = scores[0], stream._replace(now=now, pending=np.concatenate([stream.pending, ids]))
        if not is_whole:
            return log_probs, stream
        segment = stream.pending if len(stream.pending) else ids
        read, params, now = self.learner.step(self.rule, stream.params, segment[None], stream.before)
        after = Stream(params, now, now, np.zeros(0, np.int32))
        return (read[0] if log_probs is None else log_probs), after

    def next_log_probs(self, state: tuple[Stream, ...]) -> np.ndarray:
        rows = [self.model.with_params(one.params).next_log_probs(one.now) for one in state]
        return np.concatenate(rows) if rows else np.zeros((0, self.vocab_size), np.float32)
