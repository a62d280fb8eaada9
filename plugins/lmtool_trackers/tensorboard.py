"""TensorBoard's event files, written by tensorboardX."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmtool.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmtool.config import Config


class TensorBoard:
    """Writes to `RUN/tensorboard`: look at it with `tensorboard --logdir RUN`.

    Raises:
        PluginError: if tensorboardX is not installed.
    """

    def __init__(self, config: Config, *, run: Path) -> None:
        try:
            tensorboard_x = import_module("tensorboardX")
        except ImportError:
            message = "tracker 'tensorboard' needs the package tensorboardX, which is not installed"
            raise PluginError(message, hint="`pip install tensorboardX`") from None
        self._writer: Any = tensorboard_x.SummaryWriter(str(run / "tensorboard"))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()
