"""Names to components. Built-in names are answered first; third-party plugins are looked at for other names only."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmtool import plugins
from lmtool.errors import Interrupted, PluginError, did_you_mean

if TYPE_CHECKING:
    from lmtool.api import CommandSpec, Component, Family
    from lmtool.config import Config
    from lmtool.plugins.probe import EntryPoint, Report


@dataclass(frozen=True)
class Found:
    """A component and the plugin that gives it."""

    kind: str
    component: Component
    plugin: EntryPoint
    member: str | None = None
    """Of a family: the one that is meant."""

    @property
    def name(self) -> str:
        """The component's name; of a member of a family, `family:member`."""
        return self.component.name if self.member is None else f"{self.component.name}:{self.member}"

    @property
    def is_family(self) -> bool:
        """Whether it stands for many, and does not say which."""
        return "family" in self.component.capabilities and self.member is None

    def load(self) -> Any:
        """The target, imported now. Raises PluginError if that fails."""
        return self._import(self.component.target)

    def config_class(self) -> type[Config]:
        """The schema of its settings; one without any if it names none.

        Raises:
            PluginError: if it is no `Config`, or a family has no such member.
        """
        base: type[Config] = self._import("lmtool.config:Config")
        if self.is_family:
            what = f"say which {self.kind} of '{self.name}' is meant: `{self.name}:NAME`"
            raise PluginError(what, hint=f"`lmtool plugins show {self.name}` lists them")
        if self.member is not None:
            schema = self._family().config_class(self.member)
        else:
            schema = self._import(self.component.config) if self.component.config else base
        if not (isinstance(schema, type) and issubclass(schema, base)):
            what = f"its settings, {self.component.config}, are no lmtool.config.Config"
            raise PluginError(f"{self._shown} cannot be used: {what}")
        return schema

    def members(self) -> list[str]:
        """Of a family: the names that it stands for."""
        return list(self._family().members())

    def record(self) -> dict[str, Any]:
        """What a run remembers of a component that it used."""
        return {
            "kind": self.kind,
            "name": self.name,
            "version": self.component.version,
            "distribution": self.plugin.distribution,
            "distribution_version": self.plugin.version,
        }

    @property
    def _shown(self) -> str:
        return f"{self.kind} '{self.name}' of {self.plugin.distribution}"

    def _family(self) -> Family:
        if self.component.config is None:
            raise PluginError(f"{self._shown} cannot be used: a family must name its members by `config`")
        family: Family = self._import(self.component.config)
        return family

    def _import(self, target: str) -> Any:
        import importlib

        module, _, attribute = target.partition(":")
        # What a third party prints at import is not part of our answer.
        stdout = contextlib.nullcontext() if self.plugin.built_in else contextlib.redirect_stdout(sys.stderr)
        try:
            with stdout:
                return getattr(importlib.import_module(module), attribute)
        except Interrupted:
            raise
        except (Exception, SystemExit) as error:  # a third party's module may raise anything
            if self.plugin.built_in and not isinstance(error, ImportError):
                raise
            reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise PluginError(
                f"{self._shown} cannot be loaded: {reason}",
                hint=f"`pip install --upgrade --force-reinstall {self.plugin.distribution}` may repair it",
            ) from error


class Registry:
    """Everything that the installed plugins offer.

    Args:
        third_party: False to know the built-ins only (`--no-plugins`).
    """

    def __init__(self, *, third_party: bool = True) -> None:
        self.third_party = third_party

    @cached_property
    def _built_in(self) -> list[Report]:
        return plugins.load(third_party=False)

    @cached_property
    def _all(self) -> list[Report]:
        reports = plugins.load(third_party=self.third_party)
        plugins.warn(reports)
        return reports

    def find(self, kind: str, name: str) -> Found:
        """The component of a kind with this name.

        `distribution:name` says which one where several give it, and `name:member` one of a family; a built-in family
        comes before a distribution of the same name.

        Raises:
            PluginError: if there is none, or two distributions give it.
        """
        found = self._candidates(kind, name)
        if len(found) > 1:
            raise PluginError(plugins.clash_message(kind, name, [one.plugin.distribution for one in found]))
        if not found:
            raise self._unknown(kind, name)
        return found[0]

    def has(self, kind: str, name: str) -> bool:
        """Whether any plugin gives a component of a kind with this name; see `find`."""
        return bool(self._candidates(kind, name))

    def _candidates(self, kind: str, name: str) -> list[Found]:
        if own := _matches(self._built_in, kind, name):
            return own
        head, colon, member = name.rpartition(":")
        if not colon:
            return _matches(self._all, kind, name)
        families = [one for one in self._candidates(kind, head) if one.is_family]
        if families:
            return [replace(one, member=member) for one in families]
        return [one for one in _matches(self._all, kind, member) if one.plugin.distribution == head]

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted."""
        return sorted({component.name for report in self._all for k, component in report.components if k == kind})

    def commands(self) -> list[str]:
        """The names of the sub-commands that plugins add, sorted."""
        return sorted({command.name for report in self._all for command in report.commands})

    def find_command(self, name: str) -> CommandSpec | None:
        """A plugin's sub-command with this name, or the one that `distribution:name` says; None if there is none.

        Raises:
            PluginError: if two distributions give it.
        """
        distribution, colon, plain = name.rpartition(":")
        found = [
            (report.plugin.distribution, command)
            for report in self._all
            for command in report.commands
            if command.name == plain and (not colon or report.plugin.distribution == distribution)
        ]
        if len(found) > 1:
            raise PluginError(plugins.clash_message("command", name, [giver for giver, _ in found]))
        return found[0][1] if found else None

    def _unknown(self, kind: str, name: str) -> PluginError:
        names = self.names(kind)
        unusable = [f"{r.plugin.name} ({r.state})" for r in self._all if r.state != "active"]
        hint = f"not usable now: {', '.join(unusable)}; see `lmtool plugins list`" if unusable else None
        return PluginError(f"no {kind} named '{name}'{did_you_mean(name, names)}; installed: {', '.join(names)}", hint)


def _matches(reports: list[Report], kind: str, name: str) -> list[Found]:
    return [
        Found(kind, component, report.plugin)
        for report in reports
        for k, component in report.components
        if k == kind and component.name == name
    ]
