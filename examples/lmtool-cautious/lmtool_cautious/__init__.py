"""The hooks: descriptors only, so that listing plugins stays fast."""

import pluggy

from lmtool.api import Component

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_optimizers():
    yield Component(
        name="cautious",
        target="lmtool_cautious.optimizer:cautious",  # imported on first use: brings optax
        config="lmtool_cautious.config:CautiousConfig",
        summary="AdamW that leaves out what the gradient speaks against (Liang et al. 2024)",
    )
