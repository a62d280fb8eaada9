"""Settings of a mixture."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config


class MixtureConfig(Config):
    """A mixture of trained runs of one tokenizer: p(w) is the sum of weight times p(w), over the parts."""

    runs: list[str] = Field(min_length=1, description="run folders, the parts; they are copied into this run")
    weights: list[float] = Field(
        [], description="one a part, summing to one; tuned on the `valid` split by EM if left out"
    )
    batch_size: int = Field(
        1, ge=1, description="contiguous pieces of the `valid` split that are read side by side while tuning"
    )
