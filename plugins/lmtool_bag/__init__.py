"""A bag of embedded words and word n-grams under a softmax: the fast neural classifier."""

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
        name="bag",
        target="lmtool_bag.model:EmbeddingBag",
        config="lmtool_bag.config:BagConfig",
        summary="mean of embedded words and hashed n-grams under a softmax, as in fastText",
        capabilities=frozenset({"fitted", "classifier"}),
    )
