"""Import one plugin's entry module and collect what its hooks yield; every fault becomes part of the report.

Third-party plugins are probed in a process of their own (`python -m lmtool.plugins.probe`, entry points as JSON lines
on stdin, reports as JSON lines on stdout), so that what they import, print or break stays there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field, fields
from typing import Any

from lmtool.api import API_VERSION, KINDS, CommandSpec, Component
from lmtool.errors import did_you_mean

BUILT_IN = "lmtool"
"""The distribution whose plugins are the built-in ones."""

HOOK_PREFIX = "lmtool_register_"
HOOKS = {f"{HOOK_PREFIX}{kind}s": kind for kind in (*KINDS, "command")}


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One line of the entry-point group `lmtool`."""

    name: str
    value: str
    distribution: str
    version: str

    @property
    def built_in(self) -> bool:
        return self.distribution == BUILT_IN


@dataclass(slots=True)
class Report:
    """What came of loading one plugin."""

    plugin: EntryPoint
    state: str = "active"
    """active, disabled, failed or incompatible."""
    error: str | None = None
    components: list[tuple[str, Component]] = field(default_factory=list)
    """(kind, descriptor) pairs."""
    commands: list[CommandSpec] = field(default_factory=list)
    load_seconds: float = 0.0
    remembered: bool = False
    """Read from the index."""
    passing: bool = False
    """Another look may well find something else, so the index does not keep it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "plugin": {f.name: getattr(self.plugin, f.name) for f in fields(self.plugin)},
            "state": self.state,
            "error": self.error,
            "components": [[kind, _to_json(component)] for kind, component in self.components],
            "commands": [_to_json(command) for command in self.commands],
            "load_seconds": self.load_seconds,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Report:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            plugin=EntryPoint(**data["plugin"]),
            state=data["state"],
            error=data["error"],
            components=[(kind, Component(**values)) for kind, values in data["components"]],
            commands=[CommandSpec(**values) for values in data["commands"]],
            load_seconds=data["load_seconds"],
        )


def _to_json(descriptor: Component | CommandSpec) -> dict[str, Any]:
    values = {f.name: getattr(descriptor, f.name) for f in fields(descriptor)}
    if "capabilities" in values:
        values["capabilities"] = sorted(values["capabilities"])
    return values


def probe(plugin: EntryPoint) -> Report:
    """Load one plugin and ask its hooks. Never raises: what goes wrong is in the report."""
    report = Report(plugin)
    start = time.perf_counter()
    try:
        _collect(plugin, report)
    except (Exception, SystemExit) as error:
        report.state, report.error = "failed", f"{type(error).__name__}: {error}" if str(error) else repr(error)
        report.components, report.commands = [], []
    report.load_seconds = time.perf_counter() - start
    return report


def _collect(plugin: EntryPoint, report: Report) -> None:
    import importlib

    import pluggy

    from lmtool import hookspecs

    module_name, _, attribute = plugin.value.partition(":")
    module: Any = importlib.import_module(module_name)
    for part in filter(None, attribute.split(".")):
        module = getattr(module, part)
    manager = pluggy.PluginManager("lmtool")  # one a plugin, so that no other plugin's fault reaches this one
    manager.add_hookspecs(hookspecs)
    manager.register(module, plugin.name)
    _check_hook_names(manager)
    for hook, kind in HOOKS.items():
        for yielded in getattr(manager.hook, hook)():
            for descriptor in yielded or ():
                _add(report, kind, hook, descriptor)


def _check_hook_names(manager: Any) -> None:
    unknown = [name for name in vars(manager.hook) if name.startswith("lmtool_") and name not in HOOKS]
    if unknown:
        raise ValueError(f"no hook is called {unknown[0]}{did_you_mean(unknown[0], list(HOOKS))}")


def _add(report: Report, kind: str, hook: str, descriptor: object) -> None:
    wanted = CommandSpec if kind == "command" else Component
    if not isinstance(descriptor, wanted):
        raise TypeError(f"{hook} must yield {wanted.__name__}, got {type(descriptor).__name__}")
    if descriptor.api != API_VERSION:
        report.state = "incompatible"
        report.error = (
            f"{kind} '{descriptor.name}' is made for version {descriptor.api} of the plugin api, "
            f"this lmtool has version {API_VERSION}"
        )
    elif descriptor.name in _names(report, kind):
        raise ValueError(f"{hook} yields '{descriptor.name}' twice")
    elif isinstance(descriptor, CommandSpec):
        report.commands.append(descriptor)
    else:
        report.components.append((kind, descriptor))


def _names(report: Report, kind: str) -> set[str]:
    if kind == "command":
        return {command.name for command in report.commands}
    return {component.name for given, component in report.components if given == kind}


def main() -> None:
    """Probe each entry point of stdin; reports go to the real stdout, whatever a plugin prints goes to stderr."""
    # The file descriptor moves, too: a library in C or a child process writes to number 1, whatever `sys.stdout` is.
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        for line in sys.stdin:
            report = probe(EntryPoint(**json.loads(line)))
            print(json.dumps(report.to_json()), file=answer, flush=True)


if __name__ == "__main__":
    main()
