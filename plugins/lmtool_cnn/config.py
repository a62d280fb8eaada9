"""Settings of the convolutional backbones."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from lmtool.config import Config


class CNNConfig(Config):
    """`[model] name = "cnn"`."""

    channels: int = Field(256, ge=1, description="H, channels of each layer")
    num_layers: int = Field(6, ge=1, description="gated convolutions, each reading the one below")
    kernel_size: int = Field(
        4, ge=1, description="positions that a convolution sees: the current one and those before, or around it"
    )
    dilations: list[PositiveInt] = Field(
        [1], min_length=1, description="steps between those positions, layer by layer, repeated"
    )
    block_size: int = Field(1, ge=1, description="layers that a residual connection skips")
    bottleneck: int | None = Field(
        None, ge=1, description="channels of each layer's convolution over time, between one to so many and one back"
    )
    weight_norm: bool = Field(False, description="learn the length of each output's weights apart from the direction")
    causal: bool = Field(True, description="see no position after the current one; false makes an encoder")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate at the input of each layer")
    locked_dropout: bool = Field(True, description="one dropout mask for all time steps of a window")

    @property
    def inner_channels(self) -> int:
        """Of the convolutions over time."""
        return self.bottleneck or self.channels

    def dilation(self, layer: int) -> int:
        """Of a layer, counted from 0 at the input."""
        return self.dilations[layer % len(self.dilations)]

    def context(self, layer: int) -> int:
        """Positions beside the current one that a layer sees: before it, or on both sides without `causal`."""
        return (self.kernel_size - 1) * self.dilation(layer)


class TextCNNConfig(Config):
    """`[model] name = "textcnn"`; with `task.pooling = ["max"]` it is Kim's model."""

    widths: list[PositiveInt] = Field([3, 4, 5], min_length=1, description="positions that each convolution sees")
    channels: int = Field(100, ge=1, description="F, outputs of each convolution")
