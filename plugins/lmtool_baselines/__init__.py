"""Answers without learning: what every text-to-text model must be better than."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")

FITTED = frozenset({"fitted", "texts"})


@hookimpl
def lmtool_register_models() -> Iterable[Component]:
    yield Component(
        name="lead",
        target="lmtool_baselines.lead:Lead",
        config="lmtool_baselines.config:LeadConfig",
        summary="answers with the first sentences of a document: the baseline of summarisation",
        capabilities=FITTED,
    )
    yield Component(
        name="sliding-window",
        target="lmtool_baselines.window:SlidingWindow",
        config="lmtool_baselines.config:SlidingWindowConfig",
        summary="answers a question with words near those that it shares with its context: the baseline of answers",
        capabilities=FITTED,
    )
    yield Component(
        name="copy-source",
        target="lmtool_baselines.lead:CopySource",
        config="lmtool_baselines.config:CopySourceConfig",
        summary="answers with the document itself: the baseline of rewriting",
        capabilities=FITTED,
    )
