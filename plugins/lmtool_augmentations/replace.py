"""Replacing tokens by others, drawn by how frequent they are.

References:
    Xie et al., "Data noising as smoothing in neural network language models", 2017 (unigram noising).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.errors import ConfigError
from lmtool.tasks.output_choice import count_ids
from lmtool_augmentations.base import Rated

if TYPE_CHECKING:
    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool_augmentations.config import RateConfig


class Replace(Rated):
    """Puts draws from the unigram distribution of the training text in the place of tokens; never `<unk>`."""

    def __init__(self, config: RateConfig, *, dataset: Dataset) -> None:
        super().__init__(config, dataset=dataset)
        counts = count_ids(dataset.split("train"), dataset.vocab_size)
        counts[[one for one in (dataset.eos_id, dataset.unk_id) if one is not None]] = 0
        if not counts.any():
            raise ConfigError("training.augment: 'replace' finds no token in the training text to draw")
        self._upto = np.cumsum(counts)

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        places = np.flatnonzero(self.drawn(ids, rng))
        tickets = rng.integers(self._upto[-1], size=len(places))
        changed = ids.copy()
        changed[places] = np.searchsorted(self._upto, tickets, side="right")
        return changed


__all__ = ["Replace"]
