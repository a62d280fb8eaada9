"""What each installed plugin offers, remembered between calls, so that a listing need not import anybody.

The index is a JSON file in the user's cache folder. An entry holds as long as the plugin's entry point, version and
files are what they were; it is never trusted further than that, and losing it costs a second look only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool import __version__
from lmtool.cache import cache_folder
from lmtool.plugins.probe import EntryPoint, Report, probe

if TYPE_CHECKING:
    from collections.abc import Iterable

PROBE_TIMEOUT = 120.0
"""Seconds that a plugin may take to be imported."""


def reports(plugins: list[EntryPoint], *, refresh: bool = False) -> list[Report]:
    """One report a plugin, in the given order: from the index where it still holds, else by a look at the plugin."""
    path = index_path()
    known = {} if refresh else _read(path)
    stamps = {plugin: _stamp(plugin) for plugin in plugins}
    found = {plugin: known.get(_key(plugin, stamps[plugin])) for plugin in plugins}
    missing = [plugin for plugin, report in found.items() if report is None]
    if missing:
        found.update(zip(missing, _probe_all(missing), strict=True))
        _write(path, {_key(plugin, stamps[plugin]): report for plugin, report in found.items() if report})
    return [report for report in found.values() if report]


def index_path() -> Path:
    """The index of this Python installation."""
    return cache_folder() / f"plugins-{sys.version_info.major}.{sys.version_info.minor}-{_digest(sys.prefix)}.json"


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _key(plugin: EntryPoint, stamp: str) -> str:
    return "|".join((__version__, plugin.distribution, plugin.version, plugin.name, plugin.value, stamp))


def _stamp(plugin: EntryPoint) -> str:
    """Changes when the plugin's own files change, or when anything is installed beside it."""
    from importlib.util import find_spec

    parts = plugin.value.partition(":")[0].split(".")
    try:
        spec = find_spec(parts[0])  # imports nothing, and knows the finders of editable installations, too
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "missing"
    paths = [spec.origin or "", *(folder for folder in sys.path if folder.endswith("-packages"))]
    for folder in spec.submodule_search_locations or ():
        module = Path(folder).joinpath(*parts[1:])
        paths += [str(module.with_suffix(".py")), str(module / "__init__.py")]
    return _digest(repr([(path, _mtime(path)) for path in paths]))


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _probe_all(plugins: list[EntryPoint]) -> Iterable[Report]:
    """Built-ins in this process (they are light, and ours); the others each in a process of its own, side by side."""
    if all(plugin.built_in for plugin in plugins):
        return [probe(plugin) for plugin in plugins]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        apart = {plugin: pool.submit(_probe_apart, plugin) for plugin in plugins if not plugin.built_in}
        return [apart[plugin].result() if plugin in apart else probe(plugin) for plugin in plugins]


def _probe_apart(plugin: EntryPoint) -> Report:
    import subprocess

    request = json.dumps({name: getattr(plugin, name) for name in EntryPoint.__slots__})
    # -P: the working folder is not searched, so that a `random.py` that lies there is not taken for Python's own.
    command = [sys.executable, "-P", "-m", "lmtool.plugins.probe"]
    try:
        # What it prints is read by nobody: a child that it leaves behind could hold a pipe open for ever.
        answer = subprocess.run(
            command,
            input=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=PROBE_TIMEOUT,
        )
        return Report.from_json(json.loads(answer.stdout))
    except subprocess.TimeoutExpired:
        return Report(plugin, state="failed", error=f"took more than {PROBE_TIMEOUT:.0f} s to import")
    except (ValueError, KeyError, TypeError):
        return Report(plugin, state="failed", error=f"ended the process that imported it (status {answer.returncode})")


def _read(path: Path) -> dict[str, Report]:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        return {key: Report.from_json(value) for key, value in data.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, index: dict[str, Report]) -> None:
    """Best effort: a read-only home only costs a second look."""
    import contextlib

    from lmtool.errors import DataError
    from lmtool.files import write_atomic

    text = json.dumps({key: report.to_json() for key, report in index.items()})
    with contextlib.suppress(DataError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
