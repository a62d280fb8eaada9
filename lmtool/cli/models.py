"""Open the model of a run, for the commands that use one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lmtool.cli import terminal
from lmtool.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lmtool.api import Classifier, LanguageModel
    from lmtool.run import Run

    Model = TypeVar("Model", LanguageModel, Classifier)


def load_model(run: Run) -> LanguageModel:
    """The run's best model; a warning if training may still find a better one."""
    _prepare(run)
    return _checked(run, run.language_model())


def load_classifier(run: Run) -> Classifier:
    """The run's best classifier; a warning if training may still find a better one."""
    _prepare(run)
    return _checked(run, run.classifier())


def _prepare(run: Run) -> None:
    if "optimizer" in run.config:  # a model that took steps is a JAX model
        from lmtool.jax_setup import prepare_jax

        prepare_jax()


def _checked(run: Run, model: Model) -> Model:
    if model.vocab_size != run.tokenizer.vocab_size:
        sizes = f"{model.vocab_size} ids, its tokenizer {run.tokenizer.vocab_size}"
        raise DataError(f"{run.path} is damaged: its model has {sizes}", hint=f"remove {run.path} and train again")
    if not run.is_finished:
        terminal.warn(f"{run.path} is not finished; this is its best model so far")
    return model


def open_model(path: Path) -> tuple[Run, LanguageModel]:
    """The run at a path and its model. Raises DataError if there is none, or it is damaged."""
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    return run, load_model(run)


def open_classifier(path: Path) -> tuple[Run, Classifier]:
    """The run at a path and its classifier. Raises DataError if there is none, or it is damaged."""
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    return run, load_classifier(run)
