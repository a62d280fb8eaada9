"""Mixtures: put together from trained runs, and opened again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lmtool.errors import ConfigError
from lmtool_mixture import newton, parts, tuning
from lmtool_mixture.config import candidates
from lmtool_mixture.linear import LinearMixture
from lmtool_mixture.loglinear import LogLinearMixture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import LanguageModel
    from lmtool.data.dataset import Dataset
    from lmtool_mixture.config import MixtureConfig
    from lmtool_mixture.parts import Parts

MIXTURES: dict[str, type[LinearMixture] | type[LogLinearMixture]] = {
    one.mode: one for one in (LinearMixture, LogLinearMixture)
}


class Mixture:
    """Makes mixtures; see `lmtool.api.FittedModel`."""

    def __init__(self, config: MixtureConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> LanguageModel:
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
        made = MIXTURES[self.config.mode]
        if not is_open:
            return made(opened.with_caches([choice[0] for choice in choices]), given)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="mixture-") as folder:
            if self.config.mode == "log-linear":
                return made(opened, self._log_linear_weights(opened, dataset, Path(folder), progress))
            plan = tuning.Plan(opened, choices, given, self.config.batch_size)
            return made(*tuning.tune(plan, dataset, Path(folder), progress))

    def _log_linear_weights(
        self, opened: Parts, dataset: Dataset, scratch: Path, progress: Callable[[str, float], None]
    ) -> Sequence[float]:
        sample = newton.read_sample(
            opened.ensemble,
            dataset,
            self.config.tuning_tokens,
            self.config.batch_size,
            scratch,
            lambda fraction: progress("reading", tuning.READING * fraction),
        )
        progress("tuning weights", tuning.READING)
        return list(map(float, newton.tune(sample)))

    def load(self, folder: Path) -> LanguageModel:
        """Raises DataError if it is damaged."""
        opened, record = parts.load(Path(folder))
        return MIXTURES[record["mode"]](opened, record["weights"])


def checked_weights(config: MixtureConfig) -> list[float]:
    """The weights that the config gives, linear ones scaled to sum to one exactly; none if they are to be tuned.

    Raises:
        ConfigError: if they are no weights of these parts, or the parts cannot be mixed so.
    """
    weights, size = config.weights, len(config.runs) + len(config.caches)
    if config.mode == "log-linear" and config.caches:
        raise ConfigError(
            "model.caches: a log-linear mixture would rule out what a cache does not know",
            "mix caches linearly, and name that run among the parts",
        )
    if not weights:
        return []
    if len(weights) != size:
        raise ConfigError(f"model.weights must have one entry for each of the {size} parts, got {len(weights)}")
    if config.mode == "log-linear":
        return list(weights)
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ConfigError(f"model.weights must be 0 or more and sum to one, got {weights}")
    if not sum(weights[: len(config.runs)]):
        raise ConfigError(f"model.weights must give the runs more than 0, got {weights}: caches know no new word")
    return [weight / sum(weights) for weight in weights]
