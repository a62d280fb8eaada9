"""Settings of the `span` task."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config

EMBEDDING_SIZE = 128
"""E where nothing says another."""


class SpanConfig(Config):
    """`[task] name = "span"`; a document's first line is the question, the others are its context."""

    embedding_size: int | None = Field(None, ge=1, description="E; 128 if left out, or that of model.init_from")
    aligned: bool = Field(True, description="a context's token also reads the question's tokens that are like it")
    dropout: float = Field(0.3, ge=0, lt=1, description="rate on the embedded inputs and on the backbone's output")
    input_dropout: float | None = Field(None, ge=0, lt=1, description="rate on the embedded inputs, if another")
    output_dropout: float | None = Field(None, ge=0, lt=1, description="rate on the backbone's output, if another")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="rate at which tokens are read as zeros in a batch")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a text (variational)")
    max_answer_length: int = Field(20, ge=1, description="tokens of an answer, at most")
    max_question_length: int = Field(60, ge=1, description="tokens that are read of a question")
    max_context_length: int = Field(800, ge=1, description="tokens that are read of a context")
    max_padding: float = Field(
        0.1, ge=0, lt=1, description="share of contexts in batches that may be padding; less takes more compiled shapes"
    )


__all__ = ["EMBEDDING_SIZE", "SpanConfig"]
