"""The hooks: descriptors only, so that listing plugins stays fast."""

import pluggy

from lmtool.api import Component

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_optimizers():
    yield Component(
        name="lion",
        target="lmtool_lion.optimizer:lion",  # imported on first use: brings optax
        config="lmtool_lion.config:LionConfig",
        summary="Lion: the sign of an interpolated momentum (Chen et al. 2023)",
    )
