"""Settings of the baselines."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config


class LeadConfig(Config):
    """The first sentences of a document."""

    sentences: int = Field(1, ge=1, description="how many of them")
    max_words: int | None = Field(None, ge=1, description="words after which the answer is cut off")


class CopySourceConfig(Config):
    """The document itself; it has no settings."""


class SlidingWindowConfig(Config):
    """A span of the context beside words of the question."""

    max_words: int = Field(5, ge=1, description="words of an answer, at most")
    distance: bool = Field(True, description="spans count more the nearer they are to words of the question")
    common: float = Field(
        0.1, gt=0, le=1, description="words in more than this share of the training contexts are function words"
    )
