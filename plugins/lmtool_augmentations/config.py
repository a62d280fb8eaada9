"""Settings of the augmentations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lmtool.config import Config


class RateConfig(Config):
    """How often a change is made; a document that is left alone is read as it is."""

    rate: float = Field(0.1, ge=0, le=1, description="probability that a token is changed")
    probability: float = Field(1.0, ge=0, le=1, description="probability that a document is changed at all")


class ProposeConfig(RateConfig):
    """`propose`."""

    RUNS = frozenset({"run"})

    run: str = Field(description="a language model's run, with the tokenizer of the dataset: an n-gram model is fast")
    context: int = Field(8, ge=1, description="tokens before the changed one that the model reads")


class NoiseConfig(RateConfig):
    """`noise`."""

    rate: float = Field(0.02, ge=0, le=1, description="probability that a character is changed; white space never is")
    kinds: list[Literal["delete", "insert", "swap", "replace"]] = Field(
        ["delete", "insert", "swap", "replace"],
        min_length=1,
        description="what may become of it, all alike: left out, a key beside it hit as well, exchanged with the next, "
        "or the key beside it hit instead",
    )


__all__ = ["NoiseConfig", "ProposeConfig", "RateConfig"]
