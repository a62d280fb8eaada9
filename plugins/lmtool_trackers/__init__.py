"""Places to send a run's metrics, besides `metrics.jsonl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_trackers() -> Iterable[Component]:
    yield Component(
        name="tensorboard",
        target="lmtool_trackers.tensorboard:TensorBoard",
        summary="event files in the run folder, for TensorBoard; needs the package tensorboardX",
    )
