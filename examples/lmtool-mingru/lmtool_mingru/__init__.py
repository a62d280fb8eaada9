"""The hooks: descriptors only."""

import pluggy

from lmtool.api import Component

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_models():
    yield Component(
        name="mingru",
        target="lmtool_mingru.backbone:MinGRU",
        config="lmtool_mingru.config:MinGRUConfig",
        summary="one layer of minimal gated recurrent units",
        capabilities={"backbone", "causal", "stateful"},
    )
