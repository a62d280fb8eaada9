"""What blocks of a text cost a model: all that a comparison with another model on the same text needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lmtool.array_types import Stream, StreamLogProbs

LEAST = 128
"""Tokens of a block: neighbouring lines are alike, and what one model knows better of the one it knows of the other."""
MOST = 1000
"""Blocks of a text, whatever its length."""


class Blocks:
    """Sums over K blocks of a text: each has the lines that begin in one of K equal parts of its tokens.

    Args:
        num_tokens: Of the whole text.
    """

    def __init__(self, num_tokens: int) -> None:
        self.size = max(LEAST, -(-num_tokens // MOST))
        """Tokens of a part."""
        number = -(-num_tokens // self.size)
        self.nats, self.tokens = np.zeros(number), np.zeros(number, np.int64)
        """Float64 and int64 [K]."""

    def add(self, position: int, ids: Stream, log_probs: StreamLogProbs, eos_id: int) -> None:
        """Add whole lines.

        Args:
            position: Of their first token in the text.
            ids: [N], `eos_id` after each line.
            log_probs: [N], nats.
            eos_id: Ends a line.
        """
        if not len(ids):
            return
        starts = np.concatenate([[0], np.flatnonzero(ids == eos_id)[:-1] + 1])
        block = (position + starts) // self.size
        np.add.at(self.nats, block, -np.add.reduceat(log_probs, starts))
        np.add.at(self.tokens, block, np.diff(starts, append=len(ids)))


__all__ = ["Blocks"]
