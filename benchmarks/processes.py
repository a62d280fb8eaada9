"""Running other programs, and what they took."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One process that has ended."""

    seconds: float
    peak: float
    """Bytes."""
    output: str
    code: int


def run(
    command: list[str], *, stdin: Path | None = None, stdout: Path | None = None, check: bool = True, **environment: str
) -> Step:
    """Run a command to its end, and see what it took."""
    with open(stdin or os.devnull, "rb") as source, open(stdout, "wb") if stdout else tempfile.TemporaryFile() as sink:
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=errors, env=os.environ | environment)
            sampler = Sampler(process.pid)
            code = process.wait()
            seconds = time.perf_counter() - start
            peak = sampler.stop()
            errors.seek(0)
            if code and check:
                sys.exit(f"{shlex.join(command)} ended with {code}:\n{errors.read().decode()}")
        if stdout:
            return Step(seconds, peak, "", code)
        sink.seek(0)
        return Step(seconds, peak, sink.read().decode(), code)


class Sampler:
    """Watches the memory of a process with all its children, twenty times a second.

    What the kernel says of a process that has ended, `ru_maxrss`, will not do: a child has that of its parent at least,
    and this one has held the text.
    """

    def __init__(self, pid: int) -> None:
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(pid,))
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self.peak

    def _watch(self, pid: int) -> None:
        while not self._done.wait(0.05):
            pids = [pid, *descendants(pid)]
            if len(pids) > 1:
                self.peak = max(self.peak, sum(kilobytes(one, "smaps_rollup", "Pss:") for one in pids) * 1024)
            else:
                self.peak = max(self.peak, kilobytes(pid, "status", "VmHWM:") * 1024)


def descendants(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return children + [one for child in children for one in descendants(child)]


def kilobytes(pid: int, file: str, entry: str) -> int:
    """An entry of a file of `/proc`; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(entry)), 0)
