"""Settings: `[optimizer] name = "cautious"`."""

from pydantic import Field

from lmtool.config import Config


class CautiousConfig(Config):
    """Where momentum and gradient disagree about the direction, a weight waits; the others move further instead."""

    learning_rate: float = Field(0.002, gt=0, description="step size")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
