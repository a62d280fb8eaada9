"""Dynamic models: made of a trained run, and opened again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.errors import ConfigError, DataError
from lmtool.parts import Part
from lmtool.run import Run
from lmtool_dynamic import record, tuning
from lmtool_dynamic.adapting import Adapting
from lmtool_dynamic.config import candidates
from lmtool_dynamic.record import Settings
from lmtool_dynamic.rules import Learner, Rule, Scales, rms_scales, root_mean_squares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import LanguageModel
    from lmtool.data.dataset import Dataset
    from lmtool_dynamic.config import DynamicConfig

logger = logging.getLogger("lmtool.dynamic")

READING = 0.3
"""The share of the work that root mean squares are, about."""


class DynamicModel(Adapting):
    """A trained run that adapts, and can be saved.

    Args:
        part: Its model is an `lmtool.api.AdaptableModel`.
        settings: The sizes of a step.
        rms: From `root_mean_squares`; None for plain gradient descent.
        tried: What the sizes were chosen from.
    """

    def __init__(self, part: Part, settings: Settings, rms: Any, tried: Sequence[Any] = ()) -> None:
        model: Any = part.model
        super().__init__(model, Learner(model, _scales(settings, rms)), settings.rule, settings.segment)
        self._part, self._settings, self._rms = part, settings, rms
        self.facts = {"run": part.name, **settings.rule._asdict(), "segment": settings.segment, "tried": list(tried)}

    def save(self, folder: Path) -> None:
        """See `lmtool_dynamic.record`."""
        record.save(folder, self._part, self._settings, self._rms)


class Dynamic:
    """Makes dynamic models; see `lmtool.api.FittedModel`."""

    def __init__(self, config: DynamicConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> LanguageModel:
        """Open the run; take root mean squares of the training text; choose what is open on the `valid` split.

        Raises:
            ConfigError: if the run has another tokenizer than the dataset, or no weights to adapt.
            DataError: if it cannot be opened, there is no `valid` split to choose on, or no choice is any good.
        """
        config, pairs = self.config, candidates(self.config)
        if len(pairs) > 1:
            tuning.held_out(dataset)  # before minutes go into the rest
        part = open_run(config.run, dataset)
        rms = self._statistics(part.model, dataset, progress) if config.update == "rms" else None
        settings = Settings(Rule(*pairs[0]), config.segment, config.epsilon if config.update == "rms" else None)
        if len(pairs) == 1:
            return DynamicModel(part, settings, rms)
        model: Any = part.model
        learner = Learner(model, _scales(settings, rms))
        adapting = [Adapting(model, learner, Rule(*pair), config.segment) for pair in pairs]
        tried = tuning.tried(
            adapting, dataset, config.tuning_tokens, lambda done: progress("tuning", READING + (1 - READING) * done)
        )
        return DynamicModel(part, settings._replace(rule=_best(tried)), rms, tried)

    def _statistics(self, model: Any, dataset: Dataset, progress: Callable[[str, float], None]) -> Any:
        count = self.config.statistics_tokens
        segments = tuning.segments(dataset.split("train"), self.config.segment, count)
        shown = tuning.shown(segments, lambda done: progress("reading", READING * min(done / count, 1.0)))
        return root_mean_squares(model, shown)

    def load(self, folder: Path) -> LanguageModel:
        """Raises DataError if it is damaged."""
        return DynamicModel(*record.load(Path(folder)))


def _scales(settings: Settings, rms: Any) -> Scales | None:
    return None if settings.epsilon is None else rms_scales(rms, settings.epsilon)


def _best(tried: Sequence[dict[str, float | None]]) -> Rule:
    """The rule under which the text was most probable; `tried` is what `tuning.tried` found."""
    good = [one for one in tried[1:] if one["nats"] is not None]
    if not good:
        rates = ", ".join(f"{one['learning_rate']:g}" for one in tried[1:])
        raise DataError(f"the weights run away at each of these learning rates: {rates}", "give smaller ones")
    best = min(good, key=lambda one: one["nats"] or 0.0)
    as_trained = tried[0]["nats"]
    if as_trained is not None and as_trained < (best["nats"] or 0.0):
        logger.warning("the weights as they were trained are better than any that follow the text")
    return Rule(best["learning_rate"] or 0.0, best["decay"] or 0.0)


def open_run(path: str, dataset: Dataset) -> Part:
    """The run that a config names."""
    run = Run.open(path)
    if run.dataset_fingerprint != dataset.fingerprint:
        hint = "give the dataset that it was trained on, or one made with `lmtool tokenize --with RUN`"
        raise ConfigError(f"model.run: {path} has another tokenizer than the dataset {dataset.path}", hint)
    if not run.is_finished:
        logger.warning("%s is not finished; its best model so far is adapted", path)
    part = Part.open(path, path)
    if not hasattr(part.model, "score_and_gradient"):
        raise ConfigError(f"model.run: {path} has no weights to adapt", "name a neural run")
    return part
