"""Variational adaptive gradient descent: an optimizer that keeps a Gaussian over the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_optimizers() -> Iterable[Component]:
    yield Component(
        name="vadg",
        target="lmtool_vadg.optimizer:VADG",
        config="lmtool_vadg.config:VADGConfig",
        summary="variational adaptive gradient descent: learns mean and deviation of each weight",
    )
