"""Small changes to training documents that leave their class as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_augmentations() -> Iterable[Component]:
    yield Component(
        name="delete",
        target="lmtool_augmentations.delete:Delete",
        config="lmtool_augmentations.config:RateConfig",
        summary="leaves tokens out at random",
    )
