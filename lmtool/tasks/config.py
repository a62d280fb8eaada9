"""Settings of the tasks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from lmtool.config import Config


class LMConfig(Config):
    """`[task] name = "lm"`; counted models need none of it."""

    embedding_size: int | None = Field(None, ge=1, description="E; the backbone's output size if left out")
    tied: bool = Field(True, description="the output embedding is the input embedding")
    softmax: Literal["full", "adaptive", "sampled"] = Field(
        "full", description="output layer in training; evaluation is exact with each"
    )
    cutoffs: list[PositiveInt] = Field([], description="adaptive: ranks at which tails begin; V/16 and V/3 if left out")
    tail_division: float = Field(
        4.0, ge=1, description="adaptive: tail i's embeddings have E divided by this to the power i"
    )
    num_samples: int = Field(2048, ge=1, description="sampled: tokens that stand for the vocabulary in a step")
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on the embedded inputs and on the backbone's output")
    input_dropout: float | None = Field(None, ge=0, lt=1, description="rate on the embedded inputs, if another")
    output_dropout: float | None = Field(None, ge=0, lt=1, description="rate on the backbone's output, if another")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="rate at which tokens are read as zeros in a batch")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a window (variational)")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of a target that all tokens divide evenly")
    activation_regularisation: float = Field(
        0.0, ge=0, description="weight of the mean square of the backbone's output after dropout (AR)"
    )
    temporal_activation_regularisation: float = Field(
        0.0, ge=0, description="weight of the mean square of its change from step to step, before dropout (TAR)"
    )
    shift: bool = Field(True, description="cut the text into streams at another place each epoch")

    @model_validator(mode="after")
    def _check_softmax(self) -> LMConfig:
        for softmax, names in {"adaptive": ("cutoffs", "tail_division"), "sampled": ("num_samples",)}.items():
            for name in names:
                if self.softmax != softmax and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f'{name} has no use with softmax = "{self.softmax}", only with "{softmax}"')
        if self.label_smoothing and self.softmax != "full":
            raise ValueError(f'label_smoothing needs all logits: softmax must be "full", not "{self.softmax}"')
        return self


def first_given(value: float | None, otherwise: float) -> float:
    """A setting of its own, or the one that stands for several."""
    return otherwise if value is None else value


__all__ = ["LMConfig", "first_given"]
