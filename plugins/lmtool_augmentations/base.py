"""What all augmentations share: whether a document is changed at all, and which of its tokens are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool_augmentations.config import RateConfig


class Rated:
    """See `lmtool.api.Augmentation`. A subclass says what becomes of the tokens that are drawn."""

    def __init__(self, config: RateConfig, *, dataset: Dataset) -> None:
        self.config = config
        self.eos_id = dataset.eos_id

    def __call__(self, ids: Stream, rng: np.random.Generator) -> Stream:
        if rng.random() >= self.config.probability:
            return ids
        return self.change(ids, rng)

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        """Another document, or the same array if nothing is changed."""
        raise NotImplementedError

    def drawn(self, ids: Stream, rng: np.random.Generator) -> np.ndarray:
        """bool [N]: True where a token is to be changed; never at the end of a line."""
        drawn: np.ndarray = (rng.random(len(ids)) < self.config.rate) & (ids != self.eos_id)
        return drawn


def every_other(chosen: np.ndarray) -> np.ndarray:
    """bool [N]: of each unbroken run of True, the first, the third, and so on: those that do not touch."""
    places = np.arange(len(chosen))
    last_false = np.maximum.accumulate(np.where(chosen, -1, places))
    alternate: np.ndarray = chosen & ((places - last_false) % 2 == 1)
    return alternate


__all__ = ["Rated", "every_other"]
