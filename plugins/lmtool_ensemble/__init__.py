"""Several models that are asked together: classifiers, and networks that write texts."""

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
        name="ensemble",
        target="lmtool_ensemble.model:Ensemble",
        config="lmtool_ensemble.config:EnsembleConfig",
        summary="classifiers of any kind, trained one after another, whose probabilities are averaged",
        capabilities=frozenset({"fitted", "classifier", "resumable"}),
        version=2,  # 1: neighbouring seeds shared members
    )
    yield Component(
        name="text-ensemble",
        target="lmtool_ensemble.texts:TextEnsemble",
        config="lmtool_ensemble.config:TextEnsembleConfig",
        summary="trained text-to-text networks that write together: ensemble decoding",
        capabilities=frozenset({"fitted", "texts"}),
    )
