"""Typing errors: what a document is read from is mistyped, and tokenized again.

References:
    Belinkov & Bisk, "Synthetic and natural noise both break neural machine translation", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool_augmentations.base import Rated, every_other

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
        self._fixed = [one for one in (dataset.eos_id, dataset.unk_id) if one is not None]

    def change(self, ids: Stream, rng: np.random.Generator) -> Stream:
        pieces = np.split(ids, _edges(np.isin(ids, self._fixed)))
        readable = [number for number, piece in enumerate(pieces) if len(piece) and piece[0] not in self._fixed]
        if not readable:
            return ids
        before = [self.tokenizer.decode(pieces[number].tolist()).replace("\n", " ") for number in readable]
        after = self._mistype(before, rng)
        for number, old, new in zip(readable, before, after, strict=True):
            if old != new:
                pieces[number] = np.array(self.tokenizer.encode(new), np.int32)
        return np.concatenate(pieces)

    def _mistype(self, lines: Sequence[str], rng: np.random.Generator) -> list[str]:
        chars = np.frombuffer("\n".join(lines).encode("utf-32-le", "surrogatepass"), np.uint32)
        within = ~np.isin(chars, SPACES)
        drawn = (rng.random(len(chars)) < self.config.rate) & within
        kinds = np.array([KINDS.index(kind) for kind in self.config.kinds])[
            rng.integers(len(self.config.kinds), size=len(chars))
        ]
        other = _beside(chars, rng, chars[within])
        swap = drawn & (kinds == SWAP)
        swap[:-1] &= within[1:] & ~drawn[1:]
        swap[-1:] = False
        left = np.flatnonzero(every_other(swap))
        typed = np.where(drawn & (kinds == REPLACE), other, chars)
        typed[left], typed[left + 1] = chars[left + 1], chars[left]
        # Each character once, those left out not at all, and after some the key beside them.
        pairs = np.stack([typed, other], axis=1)
        kept = np.stack([~(drawn & (kinds == DELETE)), drawn & (kinds == INSERT)], axis=1)
        text: str = pairs[kept].tobytes().decode("utf-32-le", "surrogatepass")
        return text.split("\n")


def _edges(fixed: np.ndarray) -> np.ndarray:
    """Where to cut so that each fixed token stands alone and what lies between is whole."""
    places = np.flatnonzero(fixed)
    return np.unique(np.concatenate([places, places + 1]))


def _beside(chars: np.ndarray, rng: np.random.Generator, all_chars: np.ndarray) -> np.ndarray:
    """uint32 [N]: for each character the key beside it, upper case where it is upper case."""
    if not len(all_chars):
        return chars
    drawn: np.ndarray = rng.choice(all_chars, size=len(chars))
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
SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)

__all__ = ["Noise"]
