"""Whitespace-separated words of the training text."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lmtool.errors import DataError
from lmtool_tokenizers import vocabulary
from lmtool_tokenizers.config import WordConfig
from lmtool_tokenizers.vocabulary import EOS_ID, UNK_ID
from lmtool_tokenizers.word_counts import count_words
from lmtool_tokenizers.word_table import WordTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

UNK = "<unk>"
"""The unknown word. Where the text itself has it, it is a word like others, with the same id."""

_PUNCTUATION = re.compile(r"(?!<unk>)(?<!<unk)[^\w\s']|(?<!\w)'|'(?!\w)")
"""Any sign that is neither letter, digit nor white space, but for an apostrophe between two of them, as in `don't`, and
for those of `<unk>`."""

_FEW = 1 << 14
"""Characters of a batch up to which a dict is as fast as a table, and need not be built first."""


class WordTokenizer:
    """One id a word. What is lost: which white space stood between words, unknown words, case if `lowercase`, and
    punctuation if it is dropped.

    Args:
        words: By id: the end of a line, `<unk>`, then the known words.
        lowercase: Turn text to lower case first.
        punctuation: `keep` it with its word, `split` it off, or `drop` it.
    """

    eos_id = EOS_ID
    unk_id: int | None = UNK_ID

    def __init__(self, words: Sequence[str], *, lowercase: bool = False, punctuation: str = "keep") -> None:
        self.words = tuple(words)
        self.lowercase, self.punctuation = lowercase, punctuation
        self.vocab_size = len(self.words)

    @property
    def unit(self) -> Literal["word", "subword"]:
        return "word" if self.punctuation == "keep" else "subword"

    @classmethod
    def train(cls, lines: Iterable[str], config: WordConfig) -> WordTokenizer:
        return cls.train_text(map("\n".join, vocabulary.batches(lines, 1 << 20)), config)

    @classmethod
    def train_text(cls, blocks: Iterable[str], config: WordConfig) -> WordTokenizer:
        """See `lmtool.api.TextTokenizer`."""
        words, counts = count_words(_prepared(block, config.lowercase, config.punctuation) for block in blocks)
        chosen = vocabulary.choose_sorted(words, counts, UNK, config.vocab_size, config.min_count)
        return cls(chosen, lowercase=config.lowercase, punctuation=config.punctuation)

    @property
    def merges_words(self) -> bool:
        return self.lowercase or self.punctuation == "drop"

    @cached_property
    def fingerprint(self) -> str:
        settings = [self.lowercase] if self.punctuation == "keep" else [self.lowercase, self.punctuation]
        return vocabulary.fingerprint_of_tokens("word", self.words, *settings)

    def _prepared(self, text: str) -> str:
        return _prepared(text, self.lowercase, self.punctuation)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words) if i != EOS_ID}

    def encode(self, line: str) -> list[int]:
        return list(map(self._ids.get, self._prepared(line).split(), repeat(UNK_ID)))

    def encode_batch(self, lines: Sequence[str]) -> np.ndarray:
        text = "\n".join([*lines, ""])
        if text.count("\n") > len(lines):  # inside of a line it is white space like any other
            text = "\n".join([*(line.replace("\n", " ") for line in lines), ""])
        return self.encode_text(text)

    def encode_text(self, text: str) -> np.ndarray:
        """See `lmtool.api.TextTokenizer`."""
        if len(text) < _FEW and "_table" not in self.__dict__:
            return np.array([i for line in text.split("\n")[:-1] for i in (*self.encode(line), EOS_ID)], np.int32)
        return self._table.encode(self._prepared(text), UNK_ID)

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
        punctuation = {} if self.punctuation == "keep" else {"punctuation": self.punctuation}
        vocabulary.save(folder, self.words, lowercase=self.lowercase, **punctuation)

    @classmethod
    def load(cls, folder: Path) -> WordTokenizer:
        contents = vocabulary.load(folder)
        punctuation = contents.get("punctuation", "keep")
        if punctuation not in get_args(WordConfig.model_fields["punctuation"].annotation):
            raise DataError(f"{folder} is damaged: its punctuation is {punctuation!r}")
        return cls(contents["tokens"], lowercase=bool(contents.get("lowercase")), punctuation=punctuation)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("words", "lowercase", "punctuation", "vocab_size")}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordTokenizer) and self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash(self.words)


def _prepared(text: str, lowercase: bool, punctuation: str) -> str:
    """Text whose words are what stands between white space."""
    if punctuation != "keep":
        text = _PUNCTUATION.sub(r" \g<0> " if punctuation == "split" else " ", text)
    return text.lower() if lowercase else text
