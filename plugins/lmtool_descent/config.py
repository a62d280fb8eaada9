"""Settings of the optimizers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lmtool.config import Config
from lmtool.settings import ScheduleConfig


class DescentConfig(Config):
    """`[training] step`: what becomes of gradients before the optimizer sees them, besides `max_grad_norm`."""

    max_grad_value: float | None = Field(None, gt=0, description="cut each component of the gradient to ± this")
    noise: float = Field(0.0, ge=0, description="η, variance of Gaussian noise on the gradient at the first step")
    noise_decay: float = Field(0.55, ge=0, description="γ: at step t the variance is η / (1 + t)^γ")


class DecayConfig(ScheduleConfig):
    """The settings of an optimizer that shrinks weights."""

    weight_decay: float = Field(
        0.0, ge=0, description="λ, shrinks matrices by ηλ a step; biases and norms are left alone"
    )
    no_decay: list[str] = Field(
        [], description="parameters that it leaves alone besides: embedding, backbone.layer_0, …"
    )


class SGDConfig(DecayConfig):
    """`[optimizer] name = "sgd"`."""

    learning_rate: float = Field(1.0, gt=0, description="η, at its highest")
    momentum: float = Field(0.0, ge=0, lt=1, description="part of the last update that is kept")
    nesterov: bool = Field(False, description="look ahead along the momentum")
    weight_decay: float = Field(
        0.0, ge=0, description="λ, adds λθ to the gradient of matrices; biases and norms are left alone"
    )

    @model_validator(mode="after")
    def _check_nesterov(self) -> SGDConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead along the momentum, so momentum must be above 0")
        return self


class ASGDConfig(SGDConfig):
    """`[optimizer] name = "asgd"`."""

    nonmono: int = Field(5, ge=1, description="average once a validation is worse than one more than so many before")
    average_from: int | None = Field(None, ge=0, description="average after so many steps instead")


class AdamWConfig(DecayConfig):
    """`[optimizer] name = "adamw"`."""

    learning_rate: float = Field(0.002, gt=0, description="η, at its highest")
    b1: float = Field(0.9, ge=0, lt=1, description="β1, decay of the mean of gradients")
    b2: float = Field(0.999, ge=0, lt=1, description="β2, decay of the mean of squared gradients")
    eps: float = Field(1e-8, gt=0, description="ε, added to the root of the latter")


class RMSpropConfig(DecayConfig):
    """`[optimizer] name = "rmsprop"`."""

    learning_rate: float = Field(0.001, gt=0, description="η, at its highest")
    decay: float = Field(0.9, ge=0, lt=1, description="decay of the mean of squared gradients")
    eps: float = Field(1e-8, gt=0, description="ε, added to its root")
    centered: bool = Field(
        False, description="divide by the standard deviation of gradients, not by their root mean square"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="part of the last update that is kept")


class AdafactorConfig(DecayConfig):
    """`[optimizer] name = "adafactor"`."""

    learning_rate: float = Field(0.01, gt=0, description="η, at its highest, as a part of a parameter's size")
    min_size_to_factor: int = Field(
        128, ge=1, description="matrices with both sides at least this long have sums of rows and columns for moments"
    )
    decay_rate: float = Field(0.8, gt=0, le=1, description="the mean of squared gradients forgets as 1 − t^−this")
    clip: float | None = Field(1.0, gt=0, description="root mean square to which an update is scaled down")
    relative: bool = Field(True, description="multiply updates by the parameter's root mean square, at least 0.001")
    momentum: float = Field(
        0.0, ge=0, lt=1, description="β1, decay of a mean of updates; takes memory like the weights"
    )


class LionConfig(DecayConfig):
    """`[optimizer] name = "lion"`.

    Every weight moves by η at each step: take a tenth to a third of AdamW's rate, and three to ten times its λ.
    """

    learning_rate: float = Field(3e-4, gt=0, description="η, at its highest")
    b1: float = Field(0.9, ge=0, lt=1, description="β1, share of the momentum in what the sign is taken of")
    b2: float = Field(0.99, ge=0, lt=1, description="β2, decay of the momentum")


class MuonConfig(DecayConfig):
    """`[optimizer] name = "muon"`."""

    learning_rate: float = Field(0.002, gt=0, description="η, at its highest, for both")
    momentum: float = Field(0.95, ge=0, lt=1, description="decay of the mean of a matrix's gradients")
    nesterov: bool = Field(True, description="look ahead along the momentum")
    iterations: int = Field(5, ge=1, description="of Newton and Schulz, towards an orthogonal matrix")
    rms: float = Field(0.2, gt=0, description="root mean square of a matrix's update over η; AdamW's is about 0.2")
    adamw_for: list[str] = Field([], description="parts of the backbone that AdamW updates, too, by their names")
    b1: float = Field(0.9, ge=0, lt=1, description="β1 of AdamW")
    b2: float = Field(0.999, ge=0, lt=1, description="β2 of AdamW")
    eps: float = Field(1e-8, gt=0, description="ε of AdamW")


class ScheduleFreeConfig(Config):
    """`[optimizer] name = "schedule-free"`. The average takes the schedule's place, so there is a warm-up alone."""

    learning_rate: float = Field(0.0025, gt=0, description="η, after the warm-up")
    warmup_steps: int = Field(0, ge=0, description="steps over which it rises linearly from zero")
    base: Literal["adamw", "sgd"] = Field("adamw", description="what takes the steps")
    b1: float = Field(
        0.9, gt=0, lt=1, description="β: gradients are taken at β of the average and 1 − β of the last weights"
    )
    b2: float = Field(0.999, ge=0, lt=1, description="β2 of AdamW")
    eps: float = Field(1e-8, gt=0, description="ε of AdamW")
    weight_decay: float = Field(
        0.0, ge=0, description="λ, shrinks matrices by ηλ a step; biases and norms are left alone"
    )
    no_decay: list[str] = Field(
        [], description="parameters that it leaves alone besides: embedding, backbone.layer_0, …"
    )
