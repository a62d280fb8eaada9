"""Runs that are asked to stop at a moment of a test's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.config import load_config
from lmtool.signals import StopRequest
from lmtool.training import train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry
    from lmtool.run import Run


def trained(
    settings: Sequence[str], dataset: Dataset, path: Path, registry: Registry, *more: str, stopped_at: str | None = None
) -> Run:
    """A run with these settings. With `stopped_at`, a phase as training reports it, a signal comes in that phase."""
    config = load_config(None, registry, flags={"data.path": str(dataset.path)}, overrides=[*settings, *more])
    stop = StopRequest()

    def report(phase, fraction, **fields):
        if phase == stopped_at:
            stop.signal_name = "SIGTERM"

    return train(config, dataset, path, registry, stop=stop, report=report)
