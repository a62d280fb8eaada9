"""Where lmtool keeps what it can make again: the plugin index, tokenized texts, compiled steps."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for lmtool: `LMTOOL_CACHE`, else the platform's custom."""
    if folder := os.environ.get("LMTOOL_CACHE"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("lmtool"))
