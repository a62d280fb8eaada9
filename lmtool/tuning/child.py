"""`python -m lmtool.tuning.child CORES PARENT ARGUMENTS…`: `lmtool ARGUMENTS…`, on some cores, as long as PARENT lives.

A search that is killed must not leave trainings behind that go on writing into its runs: when it dies, the kernel
sends SIGTERM, on which a training saves and ends.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of Linux's prctl.h."""


def main() -> None:
    """Become `lmtool`."""
    cores, parent, *arguments = sys.argv[1:]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before the kernel was told
        raise SystemExit(1)
    sys.argv = ["lmtool", *arguments]
    runpy.run_module("lmtool", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
