"""Dynamic evaluation: a trained network that goes on learning from the text that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_models() -> Iterable[Component]:
    yield Component(
        name="dynamic",
        target="lmtool_dynamic.model:Dynamic",
        config="lmtool_dynamic.config:DynamicConfig",
        summary="adapts a trained network's weights to the text that it reads (dynamic evaluation)",
        capabilities=frozenset({"fitted", "causal", "stateful"}),
    )
