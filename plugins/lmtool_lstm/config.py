"""Settings of the recurrent backbones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from lmtool.config import Config


class RecurrentConfig(Config):
    """What the recurrent backbones share."""

    hidden_size: int = Field(256, ge=1, description="H, units of each layer")
    num_layers: int = Field(1, ge=1, description="layers, each reading the one below")
    hidden_sizes: list[PositiveInt] = Field([], description="units layer by layer, instead of the two above")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate between layers")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a window (variational)")
    weight_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate on the recurrent weights, one mask a window (DropConnect)"
    )
    layer_norm: bool = Field(False, description="normalise what each layer reads, over its features")
    residual: bool = Field(False, description="add what a layer reads to its output, where the sizes agree")
    bidirectional: bool = Field(False, description="read each window from both ends: an encoder, no language model")
    recurrent_init: Literal["uniform", "orthogonal"] = Field(
        "uniform", description="of recurrent weights: within ±1/√H, or an orthogonal matrix for each gate"
    )

    @property
    def sizes(self) -> list[int]:
        """H of each layer, from the input up."""
        return self.hidden_sizes or [self.hidden_size] * self.num_layers


class LSTMConfig(RecurrentConfig):
    """`[model] name = "lstm"`."""

    projection_size: int | None = Field(
        None, ge=1, description="P, to which each layer's output is projected before it is fed back (LSTMP)"
    )
    forget_bias: float = Field(1.0, description="start value of the forget gate's bias")


class GRUConfig(RecurrentConfig):
    """`[model] name = "gru"`."""


class RNNConfig(RecurrentConfig):
    """`[model] name = "rnn"`."""

    activation: Literal["tanh", "relu"] = Field("tanh", description="of the units")
