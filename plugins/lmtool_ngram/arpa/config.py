"""Settings of an n-gram model that is imported."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config


class ArpaConfig(Config):
    """An n-gram model that another tool has estimated."""

    file: str = Field(description="an ARPA file; .gz, .bz2, .xz and .zst are decompressed on the way")
    quantize: int = Field(
        0, ge=0, le=16, description="bits of a stored probability or back-off; 0 keeps them exact (32 bits)"
    )
