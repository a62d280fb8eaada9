"""Settings of the LSTM backbone."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from lmtool.config import Config


class LSTMConfig(Config):
    """`[model] name = "lstm"`."""

    hidden_size: int = Field(256, ge=1, description="H, units of each layer")
    num_layers: int = Field(1, ge=1, description="layers, each reading the one below")
    hidden_sizes: list[PositiveInt] = Field([], description="units layer by layer, instead of the two above")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate between layers")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a window (variational)")
    forget_bias: float = Field(1.0, description="start value of the forget gate's bias")

    @property
    def sizes(self) -> list[int]:
        """H of each layer, from the input up."""
        return self.hidden_sizes or [self.hidden_size] * self.num_layers
