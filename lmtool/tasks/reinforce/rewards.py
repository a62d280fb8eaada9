"""Samples to rewards, on the host: ids become text, which an evaluator judges beside a document's references."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lmtool.data.text import one_line
from lmtool.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import TextEvaluator, Tokenizer

REMEMBERED = 1 << 16
"""Judgements that are kept, and documents whose references are: a model that has learned repeats itself."""


class Rewards:
    """What samples are worth. Threads may call it at once.

    Args:
        evaluator: Whose `judge` is the reward.
        tokenizer: Of what is written.
        references: Of the document with a number; None where there are none, and the number does not matter.
    """

    def __init__(
        self, evaluator: TextEvaluator, tokenizer: Tokenizer, references: Callable[[int], Sequence[str]] | None
    ) -> None:
        self._evaluator, self._tokenizer = evaluator, tokenizer
        self._alone = references is None
        self._references = lru_cache(REMEMBERED)(references or (lambda number: ()))
        self._judged = lru_cache(REMEMBERED)(self._judge)

    def __call__(self, ids: np.ndarray, lengths: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Rewards of K samples of each of B documents, float32 [B, K]: a pure function of its arguments.

        Args:
            ids: int32 [B, K, L].
            lengths: int32 [B, K], of the samples, without their ends.
            numbers: int32 [B], of the documents; below 0 for rows without one, whose rewards are 0.

        Raises:
            PluginError: if the evaluator gives something that is no reward.
        """
        ids, lengths = np.asarray(ids), np.asarray(lengths)
        rewards = np.zeros(lengths.shape, np.float32)
        for row, number in enumerate(np.asarray(numbers).tolist()):
            if number >= 0:
                of = 0 if self._alone else number
                rewards[row] = [
                    self._judged(of, tuple(sample[:length].tolist()))
                    for sample, length in zip(ids[row], lengths[row], strict=True)
                ]
        return rewards

    def _judge(self, number: int, ids: tuple[int, ...]) -> float:
        text = one_line(self._tokenizer.decode(ids))  # as `lmtool predict` shows it
        reward = float(self._evaluator.judge(text, self._references(number)))
        if not math.isfinite(reward):
            raise PluginError(f"'{self._evaluator.names[0]}' gives a text the reward {reward:g}: {text!r:.60}")
        return reward


__all__ = ["REMEMBERED", "Rewards"]
