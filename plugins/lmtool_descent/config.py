"""Settings of the optimizers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lmtool.config import Config


class DescentConfig(Config):
    """`[training] step`: what becomes of gradients before the optimizer sees them, besides `max_grad_norm`."""

    max_grad_value: float | None = Field(None, gt=0, description="cut each component of the gradient to ± this")
    noise: float = Field(0.0, ge=0, description="η, variance of Gaussian noise on the gradient at the first step")
    noise_decay: float = Field(0.55, ge=0, description="γ: at step t the variance is η / (1 + t)^γ")


class ScheduleConfig(Config):
    """The learning rate over the steps; shared by all optimizers."""

    learning_rate: float = Field(gt=0, description="η, at its highest")
    schedule: Literal["constant", "cosine", "linear", "inverse-sqrt", "wsd", "plateau"] = Field(
        "constant", description="how it falls after the warm-up, until the last step"
    )
    warmup_steps: int = Field(0, ge=0, description="steps over which it rises linearly from zero")
    end_factor: float = Field(0.0, ge=0, le=1, description="its last value as a part of the highest; plateau: the least")
    decay_share: float = Field(0.2, gt=0, le=1, description="wsd: the last part of all steps, in which it falls")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="plateau: what it is multiplied by")
    plateau_patience: int = Field(1, ge=1, description="plateau: after so many validations in a row without a lower loss")


class SGDConfig(ScheduleConfig):
    """`[optimizer] name = "sgd"`."""

    learning_rate: float = Field(1.0, gt=0, description="η, at its highest")
    momentum: float = Field(0.0, ge=0, lt=1, description="part of the last update that is kept")
    nesterov: bool = Field(False, description="look ahead along the momentum")
    weight_decay: float = Field(0.0, ge=0, description="λ, adds λθ to the gradient")

    @model_validator(mode="after")
    def _check_nesterov(self) -> SGDConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead along the momentum, so momentum must be above 0")
        return self


class ASGDConfig(SGDConfig):
    """`[optimizer] name = "asgd"`."""

    nonmono: int = Field(5, ge=1, description="average once a validation is worse than one more than so many before")
    average_from: int | None = Field(None, ge=0, description="average after so many steps instead")


class AdamWConfig(ScheduleConfig):
    """`[optimizer] name = "adamw"`."""

    learning_rate: float = Field(0.002, gt=0, description="η, at its highest")
    b1: float = Field(0.9, ge=0, lt=1, description="β1, decay of the mean of gradients")
    b2: float = Field(0.999, ge=0, lt=1, description="β2, decay of the mean of squared gradients")
    eps: float = Field(1e-8, gt=0, description="ε, added to the root of the latter")
    weight_decay: float = Field(0.0, ge=0, description="λ, shrinks matrices by ηλ a step; biases are left alone")
