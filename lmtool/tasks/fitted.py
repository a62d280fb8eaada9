"""Models that are estimated at once, under a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lmtool.errors import ConfigError

if TYPE_CHECKING:
    from lmtool.api import FittedClassifier, FittedModel
    from lmtool.config import Choice


def gives_classes(task: Choice) -> bool:
    """Whether the models of a task are classifiers, not language models."""
    return "classes" in task.found.component.capabilities


def fitted_model(model: Choice, task: Choice) -> FittedModel | FittedClassifier:
    """What is to be fitted, or loaded: under a task of classes, a language model becomes one for each class.

    Raises:
        ConfigError: if a classifier is to do something else.
    """
    made: FittedModel | FittedClassifier = model.load()(model.config)
    is_classifier = "classifier" in model.found.component.capabilities
    if not gives_classes(task):
        if is_classifier:
            what = f"model '{model.name}' gives documents classes, which task '{task.name}' has no use for"
            raise ConfigError(what, hint="`--task classify`")
        return made
    if is_classifier:
        return made
    from lmtool.tasks.classify.generative import Generative

    return Generative(cast("FittedModel", made))


__all__ = ["fitted_model", "gives_classes"]
