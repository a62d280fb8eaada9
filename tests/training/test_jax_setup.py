"""JAX under a command line: no noise, and a clear word where it cannot start."""

from __future__ import annotations

import subprocess
import sys

import pytest


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, check=False
    )


def test_a_platform_that_is_not_there_is_a_usage_error():
    code = """
from lmtool.errors import UsageError
from lmtool.jax_setup import prepare_jax
try:
    prepare_jax()
except UsageError as error:
    print(error.message, "|", error.hint)
"""
    done = python(code, JAX_PLATFORMS="nosuch")

    assert done.stdout.startswith("JAX cannot be started: ")
    assert "nosuch" in done.stdout
    assert "JAX_PLATFORMS=cpu" in done.stdout


def test_compiled_functions_are_remembered_in_the_cache_folder(tmp_path):
    code = """
import logging
logging.basicConfig()
from lmtool.jax_setup import prepare_jax
prepare_jax()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(jax.jit(lambda x: x * 2 + 1)(3))
"""
    done = python(code, LMTOOL_CACHE=str(tmp_path))

    assert (done.stdout.strip(), done.stderr) == ("7", "")
    assert list(tmp_path.glob("jax/*/*"))


def test_a_second_process_compiles_nothing_again(tmp_path):
    code = """
from lmtool.jax_setup import prepare_jax
prepare_jax()
import jax
from jax import monitoring
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
seen = []
monitoring.register_event_listener(lambda name, **_: seen.append(name.rpartition("/")[2]))
jax.jit(lambda x: x * 2 + 1)(3)
print(seen.count("cache_hits"), seen.count("cache_misses"))
"""
    first, second = (python(code, LMTOOL_CACHE=str(tmp_path)).stdout.split() for _ in range(2))

    assert first == ["0", "1"]
    assert second == ["1", "0"]


JOIN = """
import socket
from lmtool.devices import DeviceOptions
from lmtool.errors import UsageError
from lmtool.jax_setup import join_processes
with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
try:
    print(join_processes(DeviceOptions(devices=3, coordinator=address, num_processes=1, process_id=0)))
except UsageError as error:
    print(error.message)
import jax
"""


def test_each_of_several_processes_may_part_its_cpu_into_devices():
    done = python(JOIN + "print(jax.local_device_count())", JAX_PLATFORMS="cpu", XLA_FLAGS="")

    assert done.stdout.splitlines() == ["(0, 1)", "3"]


def test_a_platform_that_is_not_there_is_a_usage_error_of_several_processes_too():
    assert python(JOIN, JAX_PLATFORMS="nosuch").stdout.startswith("JAX cannot be started: ")


@pytest.mark.parametrize("given", ["/nowhere", ""])  # nothing: no cache at all
def test_a_cache_that_the_user_has_chosen_is_kept(given, tmp_path):
    code = """
from lmtool.jax_setup import prepare_jax
prepare_jax()
import jax
print(jax.config.jax_compilation_cache_dir)
"""
    done = python(code, JAX_COMPILATION_CACHE_DIR=given, LMTOOL_CACHE=str(tmp_path))

    assert done.stdout.strip() == given
