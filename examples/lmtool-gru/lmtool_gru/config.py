"""Settings: `[model] name = "gru"`."""

from pydantic import Field

from lmtool.config import Config


class GRUConfig(Config):
    """One layer of gated recurrent units (Cho et al. 2014)."""

    hidden_size: int = Field(256, ge=1, description="H, units")
