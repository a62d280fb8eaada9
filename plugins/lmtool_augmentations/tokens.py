"""Changes that need to know nothing but the document: delete, swap, back off to `<unk>`.

References:
    Wei & Zou, "EDA: easy data augmentation techniques for boosting performance on text classification tasks", 2019.
    Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification", 2015 (word dropout).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.errors import ConfigError
from lmtool_augmentations.base import Rated, every_other

if TYPE_CHECKING:
    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool_augmentations.config import RateConfig


class Delete(Rated):
    """Leaves tokens out; one stays, whatever the rate."""

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        gone = self.drawn(ids, rng)
        words = np.flatnonzero(ids != self.eos_id)
        if len(words) and gone[words].all():
            gone[rng.choice(words)] = False
        return ids[~gone]


class Swap(Rated):
    """Exchanges a token with the next one of its line. None is moved twice."""

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        first = self.drawn(ids, rng)
        first[:-1] &= ids[1:] != self.eos_id
        first[-1:] = False
        left = np.flatnonzero(every_other(first))
        swapped = ids.copy()
        swapped[left], swapped[left + 1] = ids[left + 1], ids[left]
        return swapped


class Unknown(Rated):
    """Puts `<unk>` in the place of tokens, so that a model learns what to make of words that it has never seen."""

    def __init__(self, config: RateConfig, *, dataset: Dataset) -> None:
        super().__init__(config, dataset=dataset)
        if dataset.unk_id is None:
            raise ConfigError(
                "training.augment: 'unk' has no use, since no text is unknown to the tokenizer of the dataset",
                hint="'delete' leaves tokens out instead",
            )
        self.unk_id = dataset.unk_id

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        return np.where(self.drawn(ids, rng), np.int32(self.unk_id), ids)


__all__ = ["Delete", "Swap", "Unknown"]
