"""Settings of variational adaptive gradient descent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lmtool.settings import ScheduleConfig


class VADGConfig(ScheduleConfig):
    """`[optimizer] name = "vadg"`."""

    learning_rate: float = Field(1.0, gt=0, description="η, at its highest; with `rescale_lr` that of a gradient step")
    method: Literal["ivon", "vadam"] = Field(
        "ivon", description="ivon: a step of natural gradient; vadam: divides by the curvature's root, as Adam does"
    )
    ess: float | None = Field(
        None, gt=0, description="λ, effective sample size: larger, less noise; the training targets of an epoch"
    )
    hess_init: float = Field(0.05, gt=0, description="h₀, curvature of the mean loss that is assumed at first")
    b1: float = Field(0.9, ge=0, lt=1, description="β1, decay of the mean of gradients")
    b2: float = Field(0.9999, ge=0, le=1, description="β2, decay of the mean of curvatures; 1 leaves it at h₀")
    weight_decay: float = Field(1e-4, ge=0, description="δ: the prior of a weight is Gaussian, of precision λδ")
    curvature: Literal["price", "squared-gradient"] | None = Field(
        None, description="where curvature is read from; ivon: price, if left out; vadam: squared-gradient alone"
    )
    clip_radius: float | None = Field(None, gt=0, description="ξ: cut what η(h₀ + δ) is multiplied by to ± this")
    rescale_lr: bool = Field(True, description="multiply η by the first denominator, h₀ + δ: η is as for `sgd` then")
    debias: bool = Field(True, description="correct the mean of gradients for its start at zero")
    noise: float = Field(1.0, ge=0, description="factor of the standard deviation; 0: gradients at the mean")

    @model_validator(mode="after")
    def _check_curvature(self) -> VADGConfig:
        if self.method == "vadam" and self.curvature == "price":
            raise ValueError("vadam takes the root of squared gradients: leave curvature out, or take method = ivon")
        return self
