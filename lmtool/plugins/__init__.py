"""Which plugins are installed, which may be used, and what each offers.

Plugins are the entry points of the group `lmtool`, ours and everybody else's. A broken one is a line on stderr and a
state in `lmtool plugins list`, never a crash. What is disabled is not even imported:

    LMTOOL_PLUGINS=a,b          only these third-party plugins (empty: none)
    LMTOOL_DISABLE_PLUGINS=x    not these (built-in ones, too)
    lmtool --no-plugins …       no third-party plugins in this call
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from lmtool.plugins import index
from lmtool.plugins.probe import BUILT_IN, EntryPoint, Report

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "lmtool"

COMMANDS = (
    "tokenize",
    "train",
    "repeat",
    "tune",
    "eval",
    "score",
    "predict",
    "generate",
    "export",
    "config",
    "plugins",
    "info",
)
"""The sub-commands of lmtool itself; these names are never a plugin's."""


def installed() -> list[EntryPoint]:
    """Every plugin's entry point, built-ins first, then by name. Imports none of them."""
    from importlib.metadata import entry_points

    found = {
        # What a half-removed distribution leaves behind has no name any more.
        EntryPoint(point.name, point.value, point.dist.name or "unknown", point.dist.version or "unknown")
        for point in entry_points(group=GROUP)
        if point.dist is not None
    }
    return sorted(found, key=lambda plugin: (not plugin.built_in, plugin.name, plugin.distribution))


def is_allowed(plugin: EntryPoint, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment lets a plugin be used, by its name or its distribution's."""
    names = {plugin.name, plugin.distribution}
    if names & _listed(environment.get("LMTOOL_DISABLE_PLUGINS", "")):
        return False
    allowed = environment.get("LMTOOL_PLUGINS")
    return plugin.built_in or allowed is None or bool(names & _listed(allowed))


def _listed(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def load(*, third_party: bool = True, refresh: bool = False) -> list[Report]:
    """A report for each installed plugin, disabled ones included.

    Args:
        third_party: False to leave everybody else's out, unread.
        refresh: True to look at each plugin again, whatever the index remembers.
    """
    plugins = [plugin for plugin in installed() if third_party or plugin.built_in]
    allowed = [plugin for plugin in plugins if is_allowed(plugin)]
    loaded = {report.plugin: report for report in index.reports(allowed, refresh=refresh)}
    return [loaded.get(plugin) or Report(plugin, state="disabled") for plugin in plugins]


def clashes(reports: list[Report]) -> dict[tuple[str, str], list[str]]:
    """(kind, name) pairs that several distributions give, with their names, built-ins first."""
    givers: dict[tuple[str, str], list[str]] = {("command", name): [BUILT_IN] for name in COMMANDS}
    for report in reports:
        named = [(kind, component.name) for kind, component in report.components]
        for pair in [*named, *(("command", command.name) for command in report.commands)]:
            givers.setdefault(pair, []).append(report.plugin.distribution)
    return {pair: distributions for pair, distributions in givers.items() if len(distributions) > 1}


def clash_message(kind: str, name: str, distributions: list[str]) -> str:
    """What a clash means for whoever asks for the plain name."""
    if distributions[0] == BUILT_IN:
        others = ", ".join(f"`{distribution}:{name}`" for distribution in distributions[1:])
        return f"{kind} '{name}' is built in, so '{name}' means that one; say {others} for the other"
    return f"{kind} '{name}' is given by {' and '.join(distributions)}; say which: `{distributions[0]}:{name}`"


def warn(reports: list[Report]) -> None:
    """One line on stderr for each plugin that cannot be used as it is, once in a process."""
    for report in reports:
        if report.error:
            plugin = f"plugin {report.plugin.name} ({report.plugin.distribution})"
            again = "; `lmtool plugins list --refresh` looks again" if report.remembered else ""
            _warn_once(f"{plugin} {report.state}: {report.error}{again}")
    for (kind, name), distributions in clashes(reports).items():
        _warn_once(f"plugin name clash: {clash_message(kind, name, distributions)}")


@cache
def _warn_once(message: str) -> None:
    print(f"warning: {' '.join(message.split())}", file=sys.stderr)
