"""Typing errors: what a document is read from is mistyped, and tokenized again.

References:
    Belinkov & Bisk, "Synthetic and natural noise both break neural machine translation", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool_augmentations.base import Rated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool_augmentations.config import NoiseConfig

KINDS = ("delete", "insert", "swap", "replace")
DELETE, INSERT, SWAP, REPLACE = range(4)
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = 4
"""Keys that are told for each: to its left, its right, above and below."""


class Noise(Rated):
    """Deletes, inserts, exchanges and replaces characters within words.

    Stretches of a line between unknown tokens are decoded, changed and encoded anew, if a character of them was drawn;
    all else stays as it is. A character that has no neighbours on the keyboard gets another one of the document.
    """

    config: NoiseConfig

    def __init__(self, config: NoiseConfig, *, dataset: Dataset) -> None:
        super().__init__(config, dataset=dataset)
        self.tokenizer = dataset.tokenizer
        self._kinds = np.array([KINDS.index(kind) for kind in config.kinds])
        self._fixed = [one for one in (dataset.eos_id, dataset.unk_id) if one is not None]

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        starts, stops = _stretches(~np.isin(ids, self._fixed))
        if not len(starts):
            return ids
        numbers, pairs = ids.tolist(), list(zip(starts.tolist(), stops.tolist(), strict=True))
        before = [self.tokenizer.decode(numbers[start:stop]).replace("\n", " ") for start, stop in pairs]
        after = self._mistype(before, rng)
        pieces, done = [], 0
        for (start, stop), old, new in zip(pairs, before, after, strict=True):
            if old != new:
                pieces += [ids[done:start], np.array(self.tokenizer.encode(new), np.int32)]
                done = stop
        return np.concatenate([*pieces, ids[done:]])

    def _mistype(self, lines: Sequence[str], rng: np.random.Generator) -> list[str]:
        chars = np.frombuffer("\n".join(lines).encode("utf-32-le", "surrogatepass"), np.uint32)
        within = ~IS_SPACE[np.minimum(chars, len(IS_SPACE) - 1)]
        drawn = (rng.random(len(chars)) < self.config.rate) & within
        places = np.flatnonzero(drawn)
        kinds = self._kinds[rng.integers(len(self._kinds), size=len(places))]
        beside = _beside(chars[places], chars[within], rng)
        typed, copies = chars.copy(), np.ones(len(chars), np.int64)
        typed[places[kinds == REPLACE]] = beside[kinds == REPLACE]
        left = places[(kinds == SWAP) & np.append(within & ~drawn, False)[places + 1]]
        typed[left], typed[left + 1] = chars[left + 1], chars[left]
        copies[places[kinds == DELETE]] = 0
        inserted = places[kinds == INSERT]
        copies[inserted] = 2
        out = np.repeat(typed, copies)
        out[np.cumsum(copies)[inserted] - 1] = beside[kinds == INSERT]
        text: str = out.tobytes().decode("utf-32-le", "surrogatepass")
        return text.split("\n")


def _stretches(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int [S] each: where unbroken runs of True begin, and where they end."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
    return edges[::2], edges[1::2]


def _beside(chars: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint32 [N]: for each character the key beside it, in its case; for one that is no letter, one of `others`."""
    if not len(chars):
        return chars
    drawn: np.ndarray = others[rng.integers(len(others), size=len(chars))]
    known = chars < len(TABLE)
    found = TABLE[np.where(known, chars, 0), rng.integers(NEIGHBOURS, size=len(chars))]
    beside: np.ndarray = np.where(known & (found > 0), found, drawn)
    return beside


def _table() -> np.ndarray:
    """uint32 [128, NEIGHBOURS]: keys beside each ASCII letter, some twice; 0 for what is no letter."""
    table = np.zeros((128, NEIGHBOURS), np.uint32)
    for number, row in enumerate(KEYBOARD):
        for place, key in enumerate(row):
            beside = [
                KEYBOARD[line][column]
                for line, column in ((number, place - 1), (number, place + 1), (number - 1, place), (number + 1, place))
                if 0 <= line < len(KEYBOARD) and 0 <= column < len(KEYBOARD[line])
            ]
            several = (beside * NEIGHBOURS)[:NEIGHBOURS]
            table[ord(key)] = [ord(one) for one in several]
            table[ord(key.upper())] = [ord(one.upper()) for one in several]
    return table


TABLE = _table()
IS_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])
"""By code; there is no white space beyond."""

__all__ = ["Noise"]
