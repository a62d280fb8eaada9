"""Linear classifiers over counts of words and characters, by scikit-learn."""

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
        name="linear",
        target="lmtool_linear.model:Linear",
        config="lmtool_linear.config:LinearConfig",
        summary="TF-IDF of words and characters under a linear classifier: the baseline of every report",
        capabilities=frozenset({"fitted", "classifier"}),
    )
