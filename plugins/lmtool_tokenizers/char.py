"""Unicode code points of the training text."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lmtool_tokenizers import vocabulary
from lmtool_tokenizers.vocabulary import EOS_ID, EOS_TOKEN, UNK_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lmtool_tokenizers.config import CharConfig

UNK = "\N{REPLACEMENT CHARACTER}"
"""What an unknown character decodes to; one that stands in the text itself is unknown, too."""

_POINTS = sys.maxunicode + 1
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class CharTokenizer:
    """One id a code point. Lossless but for characters that the training text did not have.

    Args:
        characters: By id: the end of a line, U+FFFD for unknown ones, then the known characters.
    """

    eos_id = EOS_ID
    unk_id: int | None = UNK_ID
    unit: Literal["char"] = "char"
    merges_words = False

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = tuple(characters)
        self.vocab_size = len(self.characters)

    @classmethod
    def train(cls, lines: Iterable[str], config: CharConfig) -> CharTokenizer:
        return cls.train_text(map("".join, vocabulary.batches(lines, 1 << 20)), config)

    @classmethod
    def train_text(cls, blocks: Iterable[str], config: CharConfig) -> CharTokenizer:
        counts = np.zeros(_POINTS, np.int64)
        for block in blocks:
            found = np.bincount(_code_points(block))
            counts[: len(found)] += found
        counts[ord("\n")] = 0
        counted = {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}
        return cls(vocabulary.choose(counted, UNK, config.vocab_size, config.min_count))

    @cached_property
    def fingerprint(self) -> str:
        return vocabulary.fingerprint_of_tokens("char", self.characters)

    @cached_property
    def _table(self) -> np.ndarray:
        """Code point to id."""
        points = [ord(character) for character in self.characters[1:]]
        table = np.full(_POINTS, UNK_ID, np.int32)
        table[points] = np.arange(1, self.vocab_size)
        table[ord("\n")] = EOS_ID
        return table

    def encode(self, line: str) -> list[int]:
        ids: list[int] = self.encode_batch([line])[:-1].tolist()
        return ids

    def encode_batch(self, lines: Sequence[str]) -> np.ndarray:
        text = "\n".join([*lines, ""])
        if text.count("\n") != len(lines):
            raise ValueError("a line must not hold a line end")
        return self.encode_text(text)

    def encode_text(self, text: str) -> np.ndarray:
        ids: np.ndarray = self._table[_code_points(text)]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        characters = ("\n", *self.characters[1:])
        return "".join([characters[i] for i in ids])

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """A space is shown as U+2581, what cannot be printed as `<U+0009>`."""
        return [EOS_TOKEN if i == EOS_ID else _printable(self.characters[i]) for i in ids]

    def save(self, folder: Path) -> None:
        vocabulary.save(folder, self.characters)

    @classmethod
    def load(cls, folder: Path) -> CharTokenizer:
        return cls(vocabulary.load(folder)["tokens"])

    def __getstate__(self) -> dict[str, Any]:
        return {"characters": self.characters, "vocab_size": self.vocab_size}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharTokenizer) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _printable(character: str) -> str:
    if character == " ":
        return _SPACE
    return character if character.isprintable() else f"<U+{ord(character):04X}>"
