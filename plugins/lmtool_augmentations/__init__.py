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
    rate = "lmtool_augmentations.config:RateConfig"
    yield Component(
        name="delete",
        target="lmtool_augmentations.tokens:Delete",
        config=rate,
        summary="leaves tokens out at random",
    )
    yield Component(
        name="swap",
        target="lmtool_augmentations.tokens:Swap",
        config=rate,
        summary="exchanges neighbouring tokens",
    )
    yield Component(
        name="unk",
        target="lmtool_augmentations.tokens:Unknown",
        config=rate,
        summary="puts <unk> in the place of tokens: word dropout",
    )
    yield Component(
        name="replace",
        target="lmtool_augmentations.replace:Replace",
        config=rate,
        summary="puts other tokens in the place of some, by how frequent they are in the training text",
    )
    yield Component(
        name="propose",
        target="lmtool_augmentations.propose:Propose",
        config="lmtool_augmentations.config:ProposeConfig",
        summary="puts what a language model finds likely there in the place of some tokens",
    )
    yield Component(
        name="noise",
        target="lmtool_augmentations.noise:Noise",
        config="lmtool_augmentations.config:NoiseConfig",
        summary="mistypes characters within words",
    )
