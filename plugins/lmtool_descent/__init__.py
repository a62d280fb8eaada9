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
        version=2,
    )
    yield Component(
        name="asgd",
        target="lmtool_descent.asgd:ASGD",
        config="lmtool_descent.config:ASGDConfig",
        summary="sgd whose weights are averaged once validation no longer improves (NT-ASGD)",
        version=2,
    )
    yield Component(
        name="adamw",
        target="lmtool_descent.optimizers:adamw",
        config="lmtool_descent.config:AdamWConfig",
        summary="Adam with decoupled weight decay",
    )
    yield Component(
        name="rmsprop",
        target="lmtool_descent.optimizers:rmsprop",
        config="lmtool_descent.config:RMSpropConfig",
        summary="the gradient over the root of a moving mean of its squares",
    )
    yield Component(
        name="adafactor",
        target="lmtool_descent.optimizers:adafactor",
        config="lmtool_descent.config:AdafactorConfig",
        summary="moments of a matrix as sums of rows and columns: hardly any memory",
    )
    yield Component(
        name="lion",
        target="lmtool_descent.optimizers:lion",
        config="lmtool_descent.config:LionConfig",
        summary="the sign of an interpolation of momentum and gradient",
    )
    yield Component(
        name="muon",
        target="lmtool_descent.muon:muon",
        config="lmtool_descent.config:MuonConfig",
        summary="orthogonal updates for the backbone's matrices, AdamW for the rest",
    )
    yield Component(
        name="schedule-free",
        target="lmtool_descent.schedule_free:ScheduleFree",
        config="lmtool_descent.config:ScheduleFreeConfig",
        summary="AdamW or sgd whose averaged weights take the place of a schedule",
    )
    yield Component(
        name="optax",
        target="lmtool_descent.of_optax:transformation",
        config="lmtool_descent.of_optax:OPTAX",
        summary="any transformation of optax: `optax:novograd`, its arguments as settings",
        capabilities=frozenset({"family"}),
    )


@hookimpl
def lmtool_register_steps() -> Iterable[Component]:
    yield Component(
        name="descent",
        target="lmtool_descent.step:compile_step",
        config="lmtool_descent.config:DescentConfig",
        summary="gradient, clipping and update in one compiled function",
    )
