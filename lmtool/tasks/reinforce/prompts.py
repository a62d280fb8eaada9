"""What a language model goes on from: the first tokens of lines, or nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lmtool.data.text import one_line
from lmtool.errors import DataError

if TYPE_CHECKING:
    from lmtool.api import Tokenizer
    from lmtool.data.dataset import Split

BLOCK = 1 << 20
"""Ids that are read at once where line ends are looked for."""


class Prompts:
    """The first tokens of each line of a split that has more of them, in an order that each pass shuffles anew.

    Args:
        split: A line's end is the `eos_id` that stands behind it.
        tokenizer: Of the split.
        size: P, tokens of a prompt; at least 1.
        seed: Decides the orders.

    Raises:
        DataError: if no line has more than P tokens.
    """

    def __init__(self, split: Split, tokenizer: Tokenizer, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._split, self._tokenizer = split, tokenizer
        self._starts, self._lengths = lines_above(split, tokenizer.eos_id, size)
        if not len(self._starts):
            raise DataError(
                f"the {split.name} split has no line of more than {size} tokens to go on from",
                hint="lower task.prompt_tokens",
            )
        self._order = lru_cache(maxsize=2)(self._make_order)

    @property
    def count(self) -> int:
        """N, lines that are gone on from."""
        return len(self._starts)

    def numbers(self, first: int, count: int) -> np.ndarray:
        """int32 [count]: which lines come in these places of an endless order, in which each N places hold each line
        once."""
        passes, places = np.divmod(np.arange(first, first + count), self.count)
        return np.array([self._order(one)[place] for one, place in zip(passes.tolist(), places.tolist(), strict=True)],
                        np.int32)  # fmt: skip

    def ids(self, numbers: np.ndarray) -> np.ndarray:
        """int32 [B, P], the prompts of lines."""
        starts = self._starts[numbers].tolist()
        return np.stack([self._split.read(start, start + self.size) for start in starts])

    def references(self, number: int) -> tuple[str]:
        """A line as it was written, prompt and continuation, as far as its ids tell."""
        start = int(self._starts[number])
        ids = self._split.read(start, start + int(self._lengths[number]))
        return (one_line(self._tokenizer.decode(ids.tolist())),)

    def _make_order(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number]).permutation(self.count)


def lines_above(split: Split, eos_id: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths, int64 [N] each, of the lines with more than `size` tokens, their ends not counted."""
    starts, lengths, begin = [], [], 0
    for offset in range(0, split.num_tokens, BLOCK):
        ends = offset + np.flatnonzero(split.read(offset, offset + BLOCK) == eos_id)
        if len(ends):
            begins = np.concatenate([[begin], ends[:-1] + 1])
            begin = int(ends[-1]) + 1
            chosen = ends - begins > size
            starts.append(begins[chosen])
            lengths.append((ends - begins)[chosen])
    return _joined(starts), _joined(lengths)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


__all__ = ["Prompts", "lines_above"]
