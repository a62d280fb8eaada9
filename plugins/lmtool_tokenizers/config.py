"""Settings of the built-in tokenizers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lmtool.config import Config


class CharConfig(Config):
    vocab_size: int | None = Field(None, ge=2, description="keep the most frequent characters, specials included")
    min_count: int = Field(1, ge=1, description="characters that are rarer in the training text are unknown")


class WordConfig(Config):
    LATER = frozenset({"punctuation"})

    vocab_size: int | None = Field(None, ge=2, description="keep the most frequent words, specials included")
    min_count: int = Field(1, ge=1, description="words that are rarer in the training text are unknown")
    lowercase: bool = Field(False, description="turn text to lower case first; what was upper case is lost")
    punctuation: Literal["keep", "split", "drop"] = Field(
        "keep", description="keep it with its word; split it off, each sign a token; drop it"
    )


class BPEConfig(Config):
    vocab_size: int = Field(8192, ge=257, description="tokens to learn, 256 bytes and the end of line included")
    min_count: int = Field(2, ge=1, description="pairs that are rarer in the training text are not merged")
    file: str | None = Field(None, description="a tokenizer.json to take instead of learning one")
    eos: str | None = Field(None, description="the token of that file that stands for the end of a line")
