"""Settings of the `classify` task."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from lmtool.config import Config

Pool = Literal["last", "mean", "max", "attention"]


class ClassifyConfig(Config):
    """`[task] name = "classify"`; fitted models need none of it."""

    FILES = frozenset({"vectors"})

    embedding_size: int | None = Field(None, ge=1, description="E; 128 if left out, or that of model.init_from")
    vectors: str | None = Field(None, description="word vectors to begin with, in text form: word2vec, GloVe, fastText")
    pooling: list[Pool] = Field(
        ["mean", "max"], min_length=1, description="what becomes of the hidden states; several are put side by side"
    )
    hidden_size: int | None = Field(None, ge=1, description="units of a layer between pooling and classes, if wanted")
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on the embedded inputs and before the classes")
    input_dropout: float | None = Field(None, ge=0, lt=1, description="rate on the embedded inputs, if another")
    output_dropout: float | None = Field(None, ge=0, lt=1, description="rate before the classes, if another")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="rate at which tokens are read as zeros in a batch")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a document (variational)")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of a target that all classes divide evenly")
    class_weights: dict[str, float] | Literal["balanced"] = Field(
        {},
        description='how much a document of a class counts, 1 if left out; "balanced": N / (C · documents of it), '
        "where there may be several N / (2 · documents with it), and likewise without it",
    )
    max_length: int = Field(400, ge=1, description="tokens that are read of a document, or in a window of it")
    keep: Literal["head", "tail", "both", "windows"] = Field(
        "head", description="what is read of a longer one; windows: all of it, one window after another"
    )
    line_ends: bool = Field(True, description="read the ends of lines as tokens")
    max_padding: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of batches that may be padding; less of it takes more compiled shapes",
    )

    @field_validator("pooling", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


__all__ = ["ClassifyConfig", "Pool"]
