"""Settings of the tasks."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config


class LMConfig(Config):
    """`[task] name = "lm"`; counted models need none of it."""

    embedding_size: int | None = Field(None, ge=1, description="E; the backbone's output size if left out")
    tied: bool = Field(True, description="the output embedding is the input embedding")
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on the embedded inputs and on the backbone's output")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a window (variational)")
    shift: bool = Field(True, description="cut the text into streams at another place each epoch")
