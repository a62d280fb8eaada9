"""Settings: `[model] name = "mingru"`."""

from pydantic import Field

from lmtool.config import Config


class MinGRUConfig(Config):
    """One layer of minimal gated recurrent units (Feng et al., "Were RNNs all we needed?", 2024)."""

    hidden_size: int = Field(256, ge=1, description="H, units")
