"""Mixtures: put together from trained runs, and opened again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lmtool.errors import ConfigError
from lmtool_mixture import parts, tuning
from lmtool_mixture.config import candidates
from lmtool_mixture.linear import LinearMixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel
    from lmtool.data.dataset import Dataset
    from lmtool_mixture.config import MixtureConfig


class Mixture:
    """Makes mixtures; see `lmtool.api.FittedModel`."""

    def __init__(self, config: MixtureConfig) -> None:
        self.config = config

    def fit(
        self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path | None = None
    ) -> LanguageModel:
        """Open the runs; tune weights and caches on the `valid` split, as far as the config leaves them open.

        Raises:
            ConfigError: if the weights do not fit the parts, or the parts not each other.
            DataError: if a part cannot be opened, or there is no `valid` split to tune on.
        """
        given = checked_weights(self.config)
        choices = [candidates(cache) for cache in self.config.caches]
        is_open = not given or any(len(choice) > 1 for choice in choices)
        if is_open:
            tuning.held_out(dataset)  # before minutes go into opening the parts
        opened = parts.open_runs(self.config.runs, self.config.caches, dataset)
        if not is_open:
            return LinearMixture(opened.with_caches([choice[0] for choice in choices]), given)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="mixture-") as folder:
            plan = tuning.Plan(opened, choices, given, self.config.batch_size)
            return LinearMixture(*tuning.tune(plan, dataset, Path(folder), progress))

    def load(self, folder: Path) -> LanguageModel:
        """Raises DataError if it is damaged."""
        opened, record = parts.load(Path(folder))
        return LinearMixture(opened, record["weights"])


def checked_weights(config: MixtureConfig) -> list[float]:
    """The weights that the config gives, scaled to sum to one exactly; none if they are to be tuned.

    Raises:
        ConfigError: if they are no weights of these parts.
    """
    weights, size = config.weights, len(config.runs) + len(config.caches)
    if not weights:
        return []
    if len(weights) != size:
        raise ConfigError(f"model.weights must have one entry for each of the {size} parts, got {len(weights)}")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ConfigError(f"model.weights must be 0 or more and sum to one, got {weights}")
    if not sum(weights[: len(config.runs)]):
        raise ConfigError(f"model.weights must give the runs more than 0, got {weights}: caches know no new word")
    return [weight / sum(weights) for weight in weights]
