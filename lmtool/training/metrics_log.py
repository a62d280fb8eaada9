"""`metrics.jsonl`: one JSON object a line, for each log interval and each validation.

What a run repeats exactly stands at the top of an object; what depends on the machine and the day stands under
`"timing"`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


MAX_LOSS = 700.0
"""Nats per token beyond which a model is no model: the perplexity would no longer be a float."""


class MetricsLog:
    """Appends to the file, and takes back what a resumed run is going to write again.

    Args:
        path: Of the file.
        writes: False to do nothing, where another process writes it.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes

    def append(self, values: dict[str, Any], timing: dict[str, float | None]) -> None:
        """Write one line and hand it to the operating system."""
        if not self.writes:
            return
        entry = {**values, "timing": {key: round(value, 3) for key, value in timing.items() if value is not None}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")

    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, size: int) -> None:
        """Forget everything after the first `size` bytes."""
        if self.writes and self.size() > size:
            os.truncate(self.path, size)


__all__ = ["MAX_LOSS", "MetricsLog"]
