"""Settings of the n-gram model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lmtool.config import Config


class NgramConfig(Config):
    """An n-gram model with interpolated modified Kneser-Ney smoothing."""

    order: int = Field(5, ge=1, le=10, description="n: a token is predicted from the n-1 before it in its line")
    unknown: Literal["word", "skip"] = Field(
        "word",
        description="`<unk>` in the training text: `word`, an ordinary word with its counts; "
        "`skip`, left out, so that an unknown word gets what is kept for unseen words (as `lmplz --skip_symbols`)",
    )
