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
    from collections.abc import Sequence

    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool_augmentations.config import ProposeConfig

AT_ONCE = 1 << 19
"""Probabilities held at once: 4 MiB."""
BLOCK = 128


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
        return draw(self.model.next_log_probs(state)[:count], tickets, self._excluded)


def draw(log_probs: np.ndarray, tickets: np.ndarray, excluded: Sequence[int] = ()) -> np.ndarray:
    """A token of each row, by its distribution: int64 [B].

    Adding up 20,000 numbers one after the other takes longer than all else, so sums of blocks find the block first.

    Args:
        log_probs: [B, V], nats.
        tickets: float [B], uniform from 0 to 1.
        excluded: Tokens that are not drawn; the others share what is left.
    """
    rows, size = log_probs.shape
    probs = np.zeros((rows, -(-size // BLOCK) * BLOCK), np.float32)
    np.exp(log_probs.astype(np.float32), out=probs[:, :size])
    probs[:, list(excluded)] = 0
    blocks = probs.reshape(rows, -1, BLOCK)
    upto = np.cumsum(blocks.sum(axis=2), axis=1, dtype=np.float64)
    block, rest = _first_beyond(upto, tickets * upto[:, -1])
    inside, _ = _first_beyond(np.cumsum(blocks[np.arange(rows), block], axis=1, dtype=np.float64), rest)
    tokens: np.ndarray = block * BLOCK + inside
    return tokens


def _first_beyond(upto: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of ascending sums, [B, N], that is above what is wanted, [B], and what remains of that: int64 and
    float64 [B]. Where rounding leaves none, it is the first that reaches the last."""
    place = np.minimum((upto <= wanted[:, None]).sum(axis=1), (upto < upto[:, -1:]).sum(axis=1))
    before = np.where(place > 0, upto[np.arange(len(upto)), place - 1], 0.0)
    return place, wanted - before


__all__ = ["Propose", "draw"]
