"""Settings of an n-gram model that is imported."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config


class ArpaConfig(Config):
    """An n-gram model that another tool has estimated."""

    file: str = Field(description="an ARPA file; .gz, .bz2, .xz and .zst are decompressed on the way")
