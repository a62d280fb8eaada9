"""Documents as questions and their contexts, and where in a context the answers stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmtool.api import Tokenizer
    from lmtool.array_types import Stream
    from lmtool.tasks.span.config import SpanConfig


class Question(NamedTuple):
    """What is read of a document."""

    question: Stream
    """int32 [Q], at least one id."""
    context: Stream
    """int32 [T], at least one id; line ends among them."""
    offset: int
    """Of the context's first id in the document."""


@dataclass(frozen=True)
class Splitter:
    """Cuts a document into its first line, the question, and all that follows, the context.

    What has no ids is read as a single end of a line; it can hold no answer.
    """

    eos_id: int
    max_question_length: int
    max_context_length: int

    @classmethod
    def of(cls, config: SpanConfig, eos_id: int) -> Splitter:
        return cls(eos_id, config.max_question_length, config.max_context_length)

    def __call__(self, ids: Stream) -> Question:
        ends = np.flatnonzero(ids == self.eos_id)
        end = int(ends[0]) if len(ends) else len(ids)
        question, context = ids[:end][: self.max_question_length], ids[end + 1 :][: self.max_context_length]
        return Question(self._readable(question), self._readable(context), end + 1)

    def _readable(self, ids: Stream) -> Stream:
        return ids if len(ids) else np.array([self.eos_id], np.int32)


def spellings(tokenizer: Tokenizer, text: str) -> list[Stream]:
    """The ids that a text may have inside of another: subwords may depend on whether a space stands before them."""
    found = {tuple(tokenizer.encode(one)) for one in (text, f" {text}")}
    return [np.array(ids, np.int32) for ids in sorted(found) if ids]


def occurrences(context: Stream, answers: Iterable[Stream], max_length: int) -> np.ndarray:
    """Where any of the answers stands in the context: int32 [N, 2], first place and length less one, each once."""
    found: set[tuple[int, int]] = set()
    for answer in answers:
        size = len(answer)
        if 0 < size <= min(max_length, len(context)):
            windows = np.lib.stride_tricks.sliding_window_view(context, size)
            found |= {(int(start), size - 1) for start in np.flatnonzero((windows == answer).all(axis=1))}
    return np.array(sorted(found), np.int32).reshape(-1, 2)


__all__ = ["Question", "Splitter", "occurrences", "spellings"]
