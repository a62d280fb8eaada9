"""Replacing tokens by what a language model finds likely after those before.

References:
    Kobayashi, "Contextual augmentation: data augmentation by words with paradigmatic relations", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.errors import ConfigError
from lmtool.run import Run
from lmtool_augmentations.base import Rated

if TYPE_CHECKING:
    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool_augmentations.config import ProposeConfig

AT_ONCE = 1 << 20
"""Probabilities held at once: 8 MiB."""


class Propose(Rated):
    """Puts draws from a language model's next-token distribution in the place of tokens.

    The model reads the `context` tokens before each, as they are in the document, from a fresh state. The end of a line
    and `<unk>` are not drawn.
    """

    def __init__(self, config: ProposeConfig, *, dataset: Dataset) -> None:
        super().__init__(config, dataset=dataset)
        run = Run.open(config.run)
        if run.dataset_fingerprint != dataset.fingerprint:
            raise ConfigError(
                f"training.augment: {config.run} has another tokenizer than the dataset {dataset.path}",
                hint=f"train a language model on a dataset made by `lmtool tokenize --with {dataset.path} …`",
            )
        self.context = config.context
        self.model = run.language_model()
        self._excluded = [one for one in (dataset.eos_id, dataset.unk_id) if one is not None]

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        places = np.flatnonzero(self.drawn(ids, rng))
        tickets = rng.random(len(places))
        changed = ids.copy()
        rows = max(1, AT_ONCE // self.model.vocab_size)
        for start in range(0, len(places), rows):
            part = slice(start, start + rows)
            changed[places[part]] = self._draw(self._contexts(ids, places[part]), tickets[part])
        return changed

    def _contexts(self, ids: Stream, places: np.ndarray) -> np.ndarray:
        """int32 [B, C]: the tokens before each place; ends of lines before the document's first."""
        padded = np.concatenate([np.full(self.context, self.eos_id, np.int32), ids])
        contexts: np.ndarray = padded[places[:, None] + np.arange(self.context)[None]]
        return contexts

    def _draw(self, contexts: np.ndarray, tickets: np.ndarray) -> np.ndarray:
        """A token for each context, [B, C]; `tickets` [B] decide, uniform from 0 to 1."""
        count = len(contexts)
        # Few shapes, since a neural model is compiled for each.
        padding = max(8, 1 << (count - 1).bit_length()) - count
        contexts = np.pad(contexts, ((0, padding), (0, 0)), constant_values=self.eos_id)
        _, state = self.model.score(contexts, self.model.initial_state(len(contexts)))
        probs = np.exp(np.asarray(self.model.next_log_probs(state)[:count], np.float64))
        probs[:, self._excluded] = 0
        upto = np.cumsum(probs, axis=1)
        # The first whose share of the sum goes beyond the ticket; where all are excluded, the last token.
        drawn = (upto <= tickets[:, None] * upto[:, -1:]).sum(axis=1)
        tokens: np.ndarray = np.minimum(drawn, self.model.vocab_size - 1)
        return tokens


__all__ = ["Propose"]
