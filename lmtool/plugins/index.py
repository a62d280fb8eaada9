"""What each installed plugin offers, remembered between calls, so that a listing need not import anybody.

The index is a JSON file in the user's cache folder. An entry holds as long as the plugin's entry point, version and
files are what they were; it is never trusted further than that, and losing it costs a second look only. A fault is
remembered, too, or each command would wait for the plugin to fail again, but only until any Python file of its package
changes. That a plugin took too long or was killed may say more about the machine, and is forgotten at once.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool import __version__
from lmtool.cache import cache_folder
from lmtool.plugins.probe import EntryPoint, Report, probe

if TYPE_CHECKING:
    from collections.abc import Iterable

PROBE_TIMEOUT = 120.0
"""Seconds that a plugin may take to be imported."""


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: str
    report: Report


def reports(plugins: list[EntryPoint], *, refresh: bool = False) -> list[Report]:
    """One report a plugin, in the given order: from the index where it still holds, else by a look at the plugin."""
    path = index_path()
    known = {} if refresh else _read(path)
    found = {plugin: entry for plugin in plugins if (entry := known.get(_key(plugin))) and _holds(plugin, entry)}
    missing = [plugin for plugin in plugins if plugin not in found]
    if missing:
        # before the look: what is written meanwhile is looked at again
        stamps = {plugin: [_stamp(plugin, faulty=faulty) for faulty in (False, True)] for plugin in missing}
        for plugin, report in zip(missing, _probe_all(missing), strict=True):
            found[plugin] = _Entry(stamps[plugin][bool(report.error)], report)
        _write(path, {_key(plugin): entry for plugin, entry in found.items() if not entry.report.passing})
    return [found[plugin].report for plugin in plugins]


def index_path() -> Path:
    """The index of this Python installation."""
    return cache_folder() / f"plugins-{sys.version_info.major}.{sys.version_info.minor}-{_digest(sys.prefix)}.json"


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _key(plugin: EntryPoint) -> str:
    return "|".join((__version__, plugin.distribution, plugin.version, plugin.name, plugin.value))


def _holds(plugin: EntryPoint, entry: _Entry) -> bool:
    return entry.stamp == _stamp(plugin, faulty=bool(entry.report.error))


def _stamp(plugin: EntryPoint, *, faulty: bool) -> str:
    """Changes when the plugin's entry module changes, of a faulty one any module, or the installation."""
    paths = [*_files(plugin), *(_all_files(plugin) if faulty else ())]
    return _digest(repr([(path, _mtime(path)) for path in paths]))


def _files(plugin: EntryPoint) -> list[str]:
    """The plugin's entry module, and the folders that change when anything is installed beside it."""
    origin, folders = _package(plugin)
    found = [origin, *(folder for folder in sys.path if folder.endswith("-packages"))]
    for folder in folders:
        module = Path(folder).joinpath(*_module(plugin).split(".")[1:])
        found += [str(module.with_suffix(".py")), str(module / "__init__.py")]
    return found


def _all_files(plugin: EntryPoint) -> list[str]:
    """Every Python file of the plugin's top-level package."""
    _, folders = _package(plugin)
    return sorted(str(path) for folder in folders for path in Path(folder).rglob("*.py"))


def _package(plugin: EntryPoint) -> tuple[str, list[str]]:
    """The file of the plugin's top-level package, or module, and its folders."""
    from importlib.util import find_spec

    try:
        spec = find_spec(_module(plugin).partition(".")[0])  # imports nothing, and knows editable installations, too
    except (ImportError, ValueError):
        spec = None
    return (spec.origin or "", list(spec.submodule_search_locations or ())) if spec else ("", [])


def _module(plugin: EntryPoint) -> str:
    return plugin.value.partition(":")[0]


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
        error = f"took more than {PROBE_TIMEOUT:.0f} s to import; {_left_out(plugin)}"
        return Report(plugin, state="failed", error=error, passing=True)
    except (ValueError, KeyError, TypeError):
        if answer.returncode >= 0:
            error = f"ended the process that imported it (status {answer.returncode})"
            return Report(plugin, state="failed", error=error)
        error = f"was killed by signal {-answer.returncode} while it was imported; {_left_out(plugin)}"
        return Report(plugin, state="failed", error=error, passing=True)


def _left_out(plugin: EntryPoint) -> str:
    """What helps where each command would look again."""
    return f"`LMTOOL_DISABLE_PLUGINS={plugin.name}` leaves it out"


def _read(path: Path) -> dict[str, _Entry]:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        entries = {key: _Entry(value["stamp"], Report.from_json(value["report"])) for key, value in data.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    for entry in entries.values():
        entry.report.remembered = True
    return entries


def _write(path: Path, index: dict[str, _Entry]) -> None:
    """Best effort: a read-only home only costs a second look."""
    import contextlib

    from lmtool.errors import DataError
    from lmtool.files import write_atomic

    text = json.dumps({key: {"stamp": one.stamp, "report": one.report.to_json()} for key, one in index.items()})
    with contextlib.suppress(DataError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
