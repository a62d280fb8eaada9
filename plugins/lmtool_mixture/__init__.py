"""Mixtures of trained models: runs and caches that predict together."""

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
        name="mixture",
        target="lmtool_mixture.model:Mixture",
        config="lmtool_mixture.config:MixtureConfig",
        summary="interpolates trained runs, counted and neural; weights tuned on the validation split",
        # `stateful` where one of its parts is
        capabilities=frozenset({"fitted", "causal", "stateful"}),
    )
