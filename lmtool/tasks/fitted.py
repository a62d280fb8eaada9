"""What the models of a task predict, and models that are estimated at once, under a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lmtool.errors import ConfigError
from lmtool.predicts import Predicts, predicted_with

if TYPE_CHECKING:
    from lmtool.api import FittedClassifier, FittedModel, FittedTextModel
    from lmtool.config import Choice


def predicted_by(task: Choice) -> Predicts:
    """What the models of a task give: probabilities of tokens, those of classes, or texts."""
    return predicted_with(task.found.component.capabilities)


def gives_classes(task: Choice) -> bool:
    """Whether the models of a task are classifiers, not language models."""
    return predicted_by(task) == "classes"


def fitted_model(model: Choice, task: Choice) -> FittedModel | FittedClassifier | FittedTextModel:
    """What is to be fitted, or loaded: under a task of classes, a language model becomes one for each class.

    Raises:
        ConfigError: if it predicts something else than the task wants.
    """
    made: FittedModel | FittedClassifier | FittedTextModel = model.load()(model.config)
    capabilities = model.found.component.capabilities
    given: Predicts = "classes" if "classifier" in capabilities else "texts" if "texts" in capabilities else "tokens"
    wanted = predicted_by(task)
    if given == wanted:
        return made
    if (given, wanted) == ("tokens", "classes"):
        from lmtool.tasks.classify.generative import Generative

        return Generative(cast("FittedModel", made))
    what = f"model '{model.name}' {GIVES[given]}, which task '{task.name}' has no use for"
    raise ConfigError(what, hint=f"`--task {TASKS[given]}`")


GIVES: dict[Predicts, str] = {
    "tokens": "gives tokens probabilities",
    "classes": "gives documents classes",
    "texts": "answers documents with texts",
}
TASKS: dict[Predicts, str] = {"tokens": "lm", "classes": "classify", "texts": "seq2seq"}


__all__ = ["Predicts", "fitted_model", "gives_classes", "predicted_by"]
