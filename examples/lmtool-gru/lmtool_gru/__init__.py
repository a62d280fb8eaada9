"""The hooks: descriptors only."""

import pluggy

from lmtool.api import Component

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_models():
    yield Component(
        name="gru",
        target="lmtool_gru.backbone:GRU",
        config="lmtool_gru.config:GRUConfig",
        summary="one layer of gated recurrent units",
        capabilities={"backbone", "causal", "stateful"},
    )
