"""Whitespace-separated words of the training text."""

from __future__ import annotations

from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lmtool_tokenizers import vocabulary
from lmtool_tokenizers.vocabulary import EOS_ID, UNK_ID
from lmtool_tokenizers.word_counts import count_words
from lmtool_tokenizers.word_table import WordTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lmtool_tokenizers.config import WordConfig

UNK = "<unk>"
"""The unknown word. Where the text itself has it, it is a word like others, with the same id."""

_FEW = 1 << 14
"""Characters of a batch up to which a dict is as fast as a table, and need not be built first."""


class WordTokenizer:
    """One id a word. What is lost: which white space stood between words, unknown words, case if `lowercase`.

    Args:
        words: By id: the end of a line, `<unk>`, then the known words.
        lowercase: Turn text to lower case first.
    """

    eos_id = EOS_ID
    unk_id: int | None = UNK_ID
    unit: Literal["word"] = "word"

    def __init__(self, words: Sequence[str], *, lowercase: bool = False) -> None:
        self.words = tuple(words)
        self.lowercase = lowercase
        self.vocab_size = len(self.words)

    @classmethod
    def train(cls, lines: Iterable[str], config: WordConfig) -> WordTokenizer:
        return cls.train_text(map("\n".join, vocabulary.batches(lines, 1 << 20)), config)

    @classmethod
    def train_text(cls, blocks: Iterable[str], config: WordConfig) -> WordTokenizer:
        """See `lmtool.api.TextTokenizer`."""
        words, counts = count_words(block.lower() if config.lowercase else block for block in blocks)
        chosen = vocabulary.choose_sorted(words, counts, UNK, config.vocab_size, config.min_count)
        return cls(chosen, lowercase=config.lowercase)

    @property
    def merges_words(self) -> bool:
        return self.lowercase

    @cached_property
    def fingerprint(self) -> str:
        return vocabulary.fingerprint_of_tokens("word", self.words, self.lowercase)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words) if i != EOS_ID}

    def encode(self, line: str) -> list[int]:
        words = (line.lower() if self.lowercase else line).split()
        return list(map(self._ids.get, words, repeat(UNK_ID)))

    def encode_batch(self, lines: Sequence[str]) -> np.ndarray:
        text = "\n".join([*lines, ""])
        if text.count("\n") > len(lines):  # inside of a line it is white space like any other
            text = "\n".join([*(line.replace("\n", " ") for line in lines), ""])
        return self.encode_text(text)

    def encode_text(self, text: str) -> np.ndarray:
        """See `lmtool.api.TextTokenizer`."""
        if len(text) < _FEW and "_table" not in self.__dict__:
            return np.array([i for line in text.split("\n")[:-1] for i in (*self.encode(line), EOS_ID)], np.int32)
        return self._table.encode(text.lower() if self.lowercase else text, UNK_ID)

    @cached_property
    def _table(self) -> WordTable:
        return WordTable(self.words)

    def decode(self, ids: Sequence[int]) -> str:
        """Words with one space between them."""
        text = " ".join(["\n" if i == EOS_ID else self.words[i] for i in ids])
        return text.replace(" \n", "\n").replace("\n ", "\n")

    def tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.words[i] for i in ids]

    def save(self, folder: Path) -> None:
        vocabulary.save(folder, self.words, lowercase=self.lowercase)

    @classmethod
    def load(cls, folder: Path) -> WordTokenizer:
        contents = vocabulary.load(folder)
        return cls(contents["tokens"], lowercase=bool(contents.get("lowercase")))

    def __getstate__(self) -> dict[str, Any]:
        return {"words": self.words, "lowercase": self.lowercase, "vocab_size": self.vocab_size}

    def __eq__(self, other: object) -> bool:
        same_kind = isinstance(other, WordTokenizer)
        return same_kind and (self.words, self.lowercase) == (other.words, other.lowercase)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.words)
