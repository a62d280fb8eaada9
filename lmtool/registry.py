"""Names to components. Built-in names are answered first; third-party plugins are looked at for other names only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmtool import plugins
from lmtool.errors import PluginError, did_you_mean

if TYPE_CHECKING:
    from lmtool.api import CommandSpec, Component
    from lmtool.config import Config
    from lmtool.plugins.probe import EntryPoint, Report


@dataclass(frozen=True)
class Found:
    """A component and the plugin that gives it."""

    kind: str
    component: Component
    plugin: EntryPoint

    def load(self) -> Any:
        """The target, imported now. Raises PluginError if that fails."""
        return self._import(self.component.target)

    def config_class(self) -> type[Config]:
        """The schema of its settings; one without any if it names none."""
        schema: type[Config] = self._import(self.component.config or "lmtool.config:Config")
        return schema

    def record(self) -> dict[str, Any]:
        """What a run remembers of a component that it used."""
        return {
            "kind": self.kind,
            "name": self.component.name,
            "version": self.component.version,
            "distribution": self.plugin.distribution,
            "distribution_version": self.plugin.version,
        }

    def _import(self, target: str) -> Any:
        import importlib

        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a third party's module may raise anything
            if self.plugin.built_in and not isinstance(error, ImportError):
                raise
            reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise PluginError(
                f"{self.kind} '{self.component.name}' of {self.plugin.distribution} cannot be loaded: {reason}",
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
        """The component of a kind with this name, or the one that `distribution:name` says.

        Raises:
            PluginError: if there is none, or two distributions give it.
        """
        distribution, colon, plain = name.rpartition(":")
        if not colon and (own := _matches(self._built_in, kind, name)):
            return own[0]
        found = _matches(self._all, kind, plain)
        if colon:
            found = [one for one in found if one.plugin.distribution == distribution]
        if len(found) > 1:
            raise PluginError(plugins.clash_message(kind, name, [one.plugin.distribution for one in found]))
        if not found:
            raise self._unknown(kind, name)
        return found[0]

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted."""
        return sorted({component.name for report in self._all for k, component in report.components if k == kind})

    def commands(self) -> dict[str, CommandSpec]:
        """Sub-commands that plugins add, by name; the first by plugin name wins."""
        specs = [spec for report in self._all for spec in report.commands]
        return {spec.name: spec for spec in reversed(specs)}

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
