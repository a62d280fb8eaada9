"""What judges texts while a run is trained: the reward that a task learns by, and what validation asks of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.config import reward_of
from lmtool.errors import ConfigError
from lmtool.evaluation import evaluators_of
from lmtool.tasks.fitted import predicted_by
from lmtool.training.validation import check_monitor

if TYPE_CHECKING:
    from lmtool.api import TextEvaluator
    from lmtool.config import Choice, RunConfig
    from lmtool.registry import Registry


def check_judges(config: RunConfig, registry: Registry) -> None:
    """What can be known before there is any data: raise ConfigError if what is to judge texts in training cannot, or
    validation does not have the figure that is monitored."""
    rewarded = reward_judge(config.task, registry) is not None
    predicts = predicted_by(config.task)
    if predicts != "texts" and config.training.evaluators:
        raise ConfigError(f"training.evaluators judge answers, and task '{config.task.name}' gives {predicts}")
    check_monitor(config.training.monitor, predicts, answer_judges(config, registry), rewarded=rewarded)


def answer_judges(config: RunConfig, registry: Registry) -> list[TextEvaluator]:
    """Those of `training.evaluators`. Raises ConfigError if one judges something else, or two give the same figure."""
    return evaluators_of(config.training.evaluators, registry, takes="texts", where="training.evaluators")


def reward_judge(task: Choice, registry: Registry) -> TextEvaluator | None:
    """What judges texts, where a task learns from that. Raises ConfigError if it judges something else, or cannot judge
    what the task writes."""
    if (reward := reward_of(task, registry)) is None:
        return None
    evaluator: TextEvaluator = reward.load()(reward.config)
    if evaluator.takes != "texts":
        raise ConfigError(f"task.reward must be an evaluator of texts, and '{reward.name}' takes {evaluator.takes}")
    if (check := getattr(task.config, "check_reward", None)) is not None:
        check(evaluator)
    return evaluator


__all__ = ["answer_judges", "check_judges", "reward_judge"]
