"""Recurrent backbones: stacked LSTM, GRU and plain networks, each a cell under `lmtool_lstm.stack`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")

CAPABILITIES = frozenset({"backbone", "causal", "stateful"})


@hookimpl
def lmtool_register_models() -> Iterable[Component]:
    yield Component(
        name="lstm",
        target="lmtool_lstm.backbone:LSTM",
        config="lmtool_lstm.config:LSTMConfig",
        summary="stacked LSTM, truncated back-propagation with carried state",
        capabilities=CAPABILITIES,
    )
    yield Component(
        name="gru",
        target="lmtool_lstm.gru:GRU",
        config="lmtool_lstm.config:GRUConfig",
        summary="stacked gated recurrent units, a lighter LSTM",
        capabilities=CAPABILITIES,
    )
    yield Component(
        name="rnn",
        target="lmtool_lstm.rnn:RNN",
        config="lmtool_lstm.config:RNNConfig",
        summary="stacked plain recurrent network, tanh or rectified units",
        capabilities=CAPABILITIES,
    )
