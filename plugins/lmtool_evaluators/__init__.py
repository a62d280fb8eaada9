"""Built-in evaluators. Light: what they import comes with their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_evaluators() -> Iterable[Component]:
    yield Component(
        name="perplexity",
        target="lmtool_evaluators.perplexity:Perplexity",
        config="lmtool_evaluators.config:PerplexityConfig",
        summary="perplexity per token and word, bits per byte, with and without unknown words; their standard errors",
    )
