"""The counted model of lmtool: n-grams, smoothed in several ways; its own, and those of other tools."""

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
        name="ngram",
        target="lmtool_ngram.model:Ngram",
        config="lmtool_ngram.config:NgramConfig",
        summary="n-gram model, orders 1 to 10, modified Kneser-Ney smoothing as in KenLM, or another",
        capabilities=frozenset({"fitted", "causal"}),
    )
    yield Component(
        name="arpa",
        target="lmtool_ngram.arpa.model:Arpa",
        config="lmtool_ngram.arpa.config:ArpaConfig",
        summary="n-gram model of another tool (KenLM, SRILM, …), read from an ARPA file",
        capabilities=frozenset({"fitted", "causal", "imported"}),
    )
