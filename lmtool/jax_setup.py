"""JAX as a command line wants it: silent, and with compiled functions remembered between calls."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.cache import cache_folder
from lmtool.errors import UsageError

if TYPE_CHECKING:
    from lmtool.devices import DeviceOptions


def prepare_jax() -> None:
    """Call before JAX is first imported. Chooses no device: that is JAX's and `JAX_PLATFORMS`' business.

    Raises:
        UsageError: if JAX cannot use the devices that `JAX_PLATFORMS` asks for.
    """
    config = silent_config()
    import jax

    try:
        jax.local_devices()
    except RuntimeError as error:
        raise UsageError(f"JAX cannot be started: {error}", hint="`JAX_PLATFORMS=cpu` always works") from None
    if config.jax_compilation_cache_dir is None and (folder := _compilation_cache()):
        config.update("jax_compilation_cache_dir", str(folder))
        # JAX remembers what took a second; `score` and `generate` of small models wait for many that took less.
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def join_processes(options: DeviceOptions) -> tuple[int, int]:
    """Find the other processes of a training, before JAX is used in any other way: index of this one, and their number.

    Raises:
        UsageError: if there is no cluster that JAX knows, process 0 does not answer, or JAX cannot be started.
    """
    config = silent_config()
    import jax

    if options.devices is not None:
        make_cpu_devices(options.devices)  # before JAX is asked who this process is, which starts it
    if config.jax_cpu_collectives_implementation in (None, "none"):
        config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(options.coordinator, options.num_processes, options.process_id)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"the processes of this training do not find each other: {str(error).partition(chr(10))[0]}",
            hint="`--coordinator HOST:PORT --num-processes N --process-id I` names them where no cluster does",
        ) from None
    prepare_jax()
    return jax.process_index(), jax.process_count()


def make_cpu_devices(number: int) -> None:
    """Let the CPU, where it is what JAX computes on, be so many devices; before JAX is used in any other way."""
    config = silent_config()
    is_forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if config.jax_num_cpu_devices == -1 and not is_forced:
        with contextlib.suppress(RuntimeError):  # too late: what is there stays
            config.update("jax_num_cpu_devices", number)


def silent_config() -> Any:
    """JAX's settings. JAX is imported, with its loggers quiet, and nothing of it started."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # notes and warnings of XLA's C++ side
    for name in ("absl", "jax", "orbax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import jax

    return jax.config


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
