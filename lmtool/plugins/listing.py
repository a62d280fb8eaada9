"""The answer of `lmtool plugins list`: what is installed, what it offers, what is wrong with it. Imports no plugin."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lmtool import plugins

if TYPE_CHECKING:
    from lmtool.api import CommandSpec, Component
    from lmtool.plugins.probe import Report


NOTHING = 'offers nothing; hooks are marked with `pluggy.HookimplMarker("lmtool")`'


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list: a component, a command, or a plugin that gives none."""

    name: str
    kind: str
    distribution: str
    version: str
    status: str
    summary: str
    plugin: str


def rows(reports: list[Report]) -> list[Row]:
    """Every component, and every plugin that has a fault of its own."""
    clashes = plugins.clashes(reports)
    found = [row for report in reports for row in _rows(report, clashes)]
    return sorted(found, key=lambda row: (row.kind, row.name, row.distribution != "lmtool", row.distribution))


def _rows(report: Report, clashes: dict[tuple[str, str], list[str]]) -> list[Row]:
    plugin = report.plugin
    about = {"distribution": plugin.distribution, "version": plugin.version, "plugin": plugin.name}
    found = []
    offered: list[tuple[str, Component | CommandSpec]] = [*report.components]
    offered += [("command", command) for command in report.commands]
    for kind, one in offered:
        clash = clashes.get((kind, one.name))
        if clash and not plugin.built_in:
            note = plugins.clash_message(kind, one.name, clash)
            found.append(Row(name=one.name, kind=kind, status="clash", summary=note, **about))
        else:
            found.append(Row(name=one.name, kind=kind, status="active", summary=one.summary, **about))
    if report.state != "active" or not found:
        note = report.error or (NOTHING if report.state == "active" else "")
        found.append(Row(name=plugin.name, kind="plugin", status=report.state, summary=note, **about))
    return found


def show(*, third_party: bool = True, as_json: bool = False, refresh: bool = False) -> None:
    """Print the list to stdout, and a line to stderr for each fault."""
    reports = plugins.load(third_party=third_party, refresh=refresh)
    plugins.warn(reports)
    found = rows(reports)
    if as_json:
        print(json.dumps({"schema": 1, "plugins": [asdict(row) for row in found]}, ensure_ascii=False))
        return
    head = Row("NAME", "KIND", "DISTRIBUTION", "VERSION", "STATUS", "SUMMARY", "")
    columns = ("name", "kind", "distribution", "version", "status")
    widths = [max(len(getattr(row, column)) for row in [head, *found]) for column in columns]
    for row in [head, *found]:
        cells = [getattr(row, column).ljust(width) for column, width in zip(columns, widths, strict=True)]
        print("  ".join([*cells, " ".join(row.summary.split())]).rstrip())
