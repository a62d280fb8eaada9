"""Fixtures for all tests: a cache of their own, the real command line, and made-up third-party plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

# Before anything imports JAX: a silent broadcast or a silent float64 is a bug.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("JAX_PLATFORMS", os.environ.get("LMTOOL_TEST_PLATFORM", "cpu"))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that the tests share and the user's own is safe from."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["LMTOOL_CACHE"] = str(folder)
    return folder


@dataclass(frozen=True)
class Done:
    """What a finished `lmtool` left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Lmtool:
    """The real command line in a process of its own."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.environment: dict[str, str] = {}

    def __call__(self, *arguments: object, input: str | bytes = "", timeout: float = 300) -> Done:
        return self.python("-m", "lmtool", *arguments, input=input, timeout=timeout)

    def python(self, *arguments: object, input: str | bytes = "", timeout: float = 300) -> Done:
        """Any other program of Python."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            input=input.encode() if isinstance(input, str) else input,
            capture_output=True,
            cwd=self.cwd,
            env=os.environ | self.environment,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def lmtool(tmp_path: Path) -> Lmtool:
    """Run `lmtool …` in an empty folder: `done = lmtool("train", …)`."""
    return Lmtool(tmp_path)


class PluginSite:
    """A folder of made-up distributions, each installed as far as `importlib.metadata` can tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        distribution: str,
        code: str,
        *,
        version: str = "1.0",
        entry_point: str = "main",
        modules: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Install a distribution whose module of hooks holds `code`, with `modules`, names to texts, beside it."""
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(PREAMBLE + textwrap.dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[lmtool]\n{entry_point} = {module}\n")


PREAMBLE = "import pluggy\nfrom lmtool.api import Component, CommandSpec\nhookimpl = pluggy.HookimplMarker('lmtool')\n"


@pytest.fixture
def plugin_site(tmp_path_factory: pytest.TempPathFactory, lmtool: Lmtool) -> PluginSite:
    """Third-party plugins that the `lmtool` fixture sees."""
    folder = tmp_path_factory.mktemp("site")
    lmtool.environment = {"PYTHONPATH": str(folder), "LMTOOL_CACHE": str(folder / "cache")}
    return PluginSite(folder)
