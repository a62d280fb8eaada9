"""Gated causal convolutions as a causal backbone."""

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
        name="cnn",
        target="lmtool_cnn.backbone:CNN",
        config="lmtool_cnn.config:CNNConfig",
        summary="gated causal convolutions in residual blocks",
        capabilities=frozenset({"backbone", "causal", "stateful"}),
    )
