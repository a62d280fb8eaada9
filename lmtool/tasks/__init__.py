"""What can be learned. The tasks enter as a plugin's do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_tasks() -> Iterable[Component]:
    yield Component(
        name="lm",
        target="lmtool.tasks.lm:LanguageModelling",
        config="lmtool.tasks.config:LMConfig",
        summary="the next token, from all tokens before it",
    )
    yield Component(
        name="classify",
        target="lmtool.tasks.classify.task:Classification",
        config="lmtool.tasks.classify.config:ClassifyConfig",
        summary="the class of a document, or its labels",
        capabilities=frozenset({"classes"}),
    )
