"""One component under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

if TYPE_CHECKING:
    from lmtool.api import Component
    from lmtool.config import Config
    from lmtool.registry import Found


class Skipped(SkipTest):
    """Raised by a check that has nothing to ask of a component; says why. Test runners, as pytest, report a skip."""


@dataclass(frozen=True)
class Subject:
    """A component and the settings that it is tested with."""

    found: Found
    config: Config

    @property
    def component(self) -> Component:
        return self.found.component

    def load(self) -> Any:
        """The component's target."""
        return self.found.load()
