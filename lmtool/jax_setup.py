"""JAX as a command line wants it: silent, and with compiled functions remembered between calls."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
from pathlib import Path
from typing import Any

from lmtool.cache import cache_folder
from lmtool.errors import UsageError


def prepare_jax() -> None:
    """Call before JAX is first imported. Chooses no device: that is JAX's and `JAX_PLATFORMS`' business.

    Raises:
        UsageError: if JAX cannot use the devices that `JAX_PLATFORMS` asks for.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # notes and warnings of XLA's C++ side
    for name in ("absl", "jax", "orbax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import jax

    config: Any = jax.config
    try:
        jax.local_devices()
    except RuntimeError as error:
        raise UsageError(f"JAX cannot be started: {error}", hint="`JAX_PLATFORMS=cpu` always works") from None
    if config.jax_compilation_cache_dir is None and (folder := _compilation_cache()):
        config.update("jax_compilation_cache_dir", str(folder))
        # JAX remembers what took a second; `score` and `generate` of small models wait for many that took less.
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _compilation_cache() -> Path | None:
    """One folder a kind of CPU: homes are shared between machines, code compiled for one may not run on another.

    None where it cannot be written: JAX would warn of it at each function.
    """
    folder = cache_folder() / "jax" / hashlib.sha256(_cpu().encode()).hexdigest()[:12]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK) else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))
