"""When to stop, decided by all processes of a training at the same step, and without waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from lmtool.sharding import AXIS
from lmtool.training.placement import PartitionSpec

if TYPE_CHECKING:
    from lmtool.signals import StopRequest
    from lmtool.training.placement import Placement
    from lmtool.training.processes import Processes

SIGNAL, TIME = 0, 1


class Agreement:
    """Stands for the `StopRequest` of one process where there may be several: its answers are the same in all.

    What a process wants goes to the devices after a step, where it is added up with what the others want; the sum is
    read a dispatch later, when it is there anyway. So everybody stops two dispatches after one was told to.

    Args:
        processes: Which decide.
        placement: Of what they compute.
        stop: Told of this process's signals.
    """

    def __init__(self, processes: Processes, placement: Placement, stop: StopRequest) -> None:
        self._alone = processes.count == 1
        self._stop = stop
        self._wants_time_out = False
        self._agreed = np.zeros(2, bool)
        self._sum: Any = None
        if placement.mesh is not None:
            rows, whole = (NamedSharding(placement.mesh, spec) for spec in (PartitionSpec(AXIS), PartitionSpec()))
            self._rows, self._size = rows, placement.size
            self._add = jax.jit(lambda wishes: wishes.sum(axis=0), out_shardings=whole)

    @property
    def signal_name(self) -> str | None:
        """The signal that all processes stop for; None to go on."""
        if self._alone:
            return self._stop.signal_name
        return self._own_signal if self._agreed[SIGNAL] else None

    @property
    def _own_signal(self) -> str:
        return self._stop.signal_name or "a signal to another process"

    @property
    def local_signal_name(self) -> str | None:
        """The signal that this process was sent."""
        return self._stop.signal_name

    def stop_now(self) -> None:
        """All processes call it at once, since one of them has told the others of its signal."""
        self._agreed[SIGNAL] = True

    def time_is_up(self, here: bool) -> bool:
        """Whether all processes stop since one ran out of time; `here` says it of this one."""
        if self._alone:
            return here
        self._wants_time_out = here
        return bool(self._agreed[TIME])

    def exchange(self) -> None:
        """Learn what was wanted at the last call, and say what is wanted now. Called after each dispatch."""
        if self._alone:
            return
        if self._sum is not None:
            self._agreed |= jax.device_get(self._sum) > 0
        wishes = np.array([[self._stop.signal_name is not None, self._wants_time_out]], np.int32)
        # One row for each device.
        self._sum = self._add(jax.make_array_from_callback((self._size, 2), self._rows, lambda _: wishes))


__all__ = ["Agreement"]
