"""Stacked LSTM as a causal backbone."""

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
        name="lstm",
        target="lmtool_lstm.backbone:LSTM",
        config="lmtool_lstm.config:LSTMConfig",
        summary="stacked LSTM, truncated back-propagation with carried state",
        capabilities=frozenset({"backbone", "causal", "stateful"}),
    )
