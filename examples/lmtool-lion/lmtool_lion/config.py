"""Settings: `[optimizer] name = "lion"`."""

from pydantic import Field

from lmtool.config import Config


class LionConfig(Config):
    """Lion takes a step of the same size for every weight; give it a tenth of AdamW's learning rate."""

    learning_rate: float = Field(1e-4, gt=0, description="step size")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
