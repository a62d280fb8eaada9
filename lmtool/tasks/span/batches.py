"""Questions to training batches: contexts of like lengths together, each batch a pure function of seed and step."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lmtool.tasks.buckets import UNIT, assign, choose_widths, epoch_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.tasks.span.questions import Question

MOST_WIDTHS = 8
"""Of contexts, each of which is compiled."""


class Batches:
    """Batches of questions whose answers are known.

    Questions are sorted into buckets by the lengths of their contexts. An epoch shuffles each bucket, cuts it into
    batches, and shuffles these. Each question comes once an epoch; what the last batch of a bucket lacks has the weight
    0.

    Args:
        read: Gives a question, by its number.
        answers: For each question where its answers stand, int [N, 2]; see `occurrences`.
        lengths: int [D, 2], of questions and of contexts.
        batch_size: B.
        max_answer_length: L.
        pad_id: Stands where nothing is read.
        seed: Decides the order.
        max_padding: See `choose_widths`; of contexts.
    """

    def __init__(
        self,
        read: Callable[[int], Question],
        answers: Sequence[np.ndarray],
        lengths: np.ndarray,
        *,
        batch_size: int,
        max_answer_length: int,
        pad_id: int,
        seed: int,
        max_padding: float,
    ) -> None:
        self.read, self.answers = read, answers
        self.batch_size, self.max_answer_length, self.pad_id, self.seed = batch_size, max_answer_length, pad_id, seed
        self.question_width = -(-int(lengths[:, 0].max()) // UNIT) * UNIT
        self.widths = choose_widths(lengths[:, 1], max_padding, most=MOST_WIDTHS)
        buckets = assign(lengths[:, 1], self.widths)
        self._members = [np.flatnonzero(buckets == bucket) for bucket in range(len(self.widths))]
        self.steps_per_epoch = sum(-(-len(members) // batch_size) for members in self._members)
        self._plan = lru_cache(maxsize=2)(self._make_plan)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """`question` [B, Q] and `context` [B, T] (int32), their masks (bool), `answers` bool [B, T, L], which spans are
        right, and `weights` float32 [B]."""
        epoch, number = divmod(step, self.steps_per_epoch)
        bucket, numbers = self._plan(epoch)[number]
        width = self.widths[bucket]
        question, question_mask = self._empty(self.question_width)
        context, context_mask = self._empty(width)
        answers = np.zeros((self.batch_size, width, self.max_answer_length), bool)
        for row, one in enumerate(numbers.tolist()):
            read = self.read(one)
            question[row, : len(read.question)], question_mask[row, : len(read.question)] = read.question, True
            context[row, : len(read.context)], context_mask[row, : len(read.context)] = read.context, True
            answers[row, *self.answers[one].T] = True
        weights = (np.arange(self.batch_size) < len(numbers)).astype(np.float32)
        return {
            "question": question,
            "question_mask": question_mask,
            "context": context,
            "context_mask": context_mask,
            "answers": answers,
            "weights": weights,
        }

    def _empty(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """A row without a question is read as a single id, so that attention is never of nothing."""
        mask = np.zeros((self.batch_size, width), bool)
        mask[:, 0] = True
        return np.full((self.batch_size, width), self.pad_id, np.int32), mask

    def _make_plan(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        return epoch_plan(self._members, [self.batch_size] * len(self._members), [self.seed, epoch])


__all__ = ["Batches"]
