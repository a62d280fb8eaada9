"""Convolutional backbones: gated and causal ones in residual blocks; one layer of several widths, for documents."""

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
    yield Component(
        name="textcnn",
        target="lmtool_cnn.textcnn:TextCNN",
        config="lmtool_cnn.config:TextCNNConfig",
        summary="one layer of convolutions of several widths, read by max pooling (Kim 2014)",
        capabilities=frozenset({"backbone"}),
    )
