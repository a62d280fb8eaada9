"""Gradient descent: optimizers, and the compiled step that any task and optimizer can use."""

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
        name="sgd",
        target="lmtool_descent.optimizers:sgd",
        config="lmtool_descent.config:SGDConfig",
        summary="the plain gradient step, θ ← θ − η∇L, with momentum if wanted",
    )
    yield Component(
        name="asgd",
        target="lmtool_descent.asgd:ASGD",
        config="lmtool_descent.config:ASGDConfig",
        summary="sgd whose weights are averaged once validation no longer improves (NT-ASGD)",
    )
    yield Component(
        name="adamw",
        target="lmtool_descent.optimizers:adamw",
        config="lmtool_descent.config:AdamWConfig",
        summary="Adam with decoupled weight decay",
    )


@hookimpl
def lmtool_register_steps() -> Iterable[Component]:
    yield Component(
        name="descent",
        target="lmtool_descent.step:compile_step",
        config="lmtool_descent.config:DescentConfig",
        summary="gradient, clipping and update in one compiled function",
    )
