"""Mixtures: weighing trained runs on held-out text, and opening a saved mixture."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lmtool.errors import ConfigError
from lmtool_mixture import em, heldout, parts
from lmtool_mixture.linear import LinearMixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel
    from lmtool.data.dataset import Dataset
    from lmtool_mixture.config import MixtureConfig
    from lmtool_mixture.parts import Parts

logger = logging.getLogger("lmtool.mixture")


class Mixture:
    """Makes mixtures; see `lmtool.api.FittedModel`."""

    def __init__(self, config: MixtureConfig) -> None:
        self.config = config

    def fit(
        self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path | None = None
    ) -> LanguageModel:
        """Open the runs, and tune their weights on the `valid` split unless the config gives them.

        Raises:
            ConfigError: if the weights do not fit the parts, or the parts not each other.
            DataError: if a part cannot be opened, or there is no `valid` split to tune on.
        """
        given = checked_weights(self.config)
        if not given:
            heldout.held_out(dataset)  # before minutes go into opening the parts
        opened = parts.open_runs(self.config.runs, dataset)
        weights = given or self._tuned(opened, dataset, progress, scratch)
        return LinearMixture(opened, weights)

    def _tuned(
        self, opened: Parts, dataset: Dataset, progress: Callable[[str, float], None], scratch: Path | None
    ) -> list[float]:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="mixture-") as folder:
            log_probs = heldout.part_log_probs(
                opened.ensemble,
                dataset,
                self.config.batch_size,
                Path(folder),
                lambda fraction: progress("tuning weights", fraction),
            )
            return list(map(float, em.tune(log_probs).weights))

    def load(self, folder: Path) -> LanguageModel:
        """Raises DataError if it is damaged."""
        opened, record = parts.load(Path(folder))
        return LinearMixture(opened, record["weights"])


def checked_weights(config: MixtureConfig) -> list[float]:
    """The weights that the config gives, scaled to sum to one exactly; none if they are to be tuned.

    Raises:
        ConfigError: if they are no weights of these parts.
    """
    weights, size = config.weights, len(config.runs)
    if not weights:
        return []
    if len(weights) != size:
        raise ConfigError(f"model.weights must have one entry for each of the {size} parts, got {len(weights)}")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ConfigError(f"model.weights must be 0 or more and sum to one, got {weights}")
    return [weight / sum(weights) for weight in weights]
