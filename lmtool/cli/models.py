"""Open the model of a run, for the commands that use one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lmtool.cli import terminal
from lmtool.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lmtool.api import Classifier, LanguageModel
    from lmtool.posterior import SampledClassifier, SampledLanguageModel, Samples
    from lmtool.run import Run

    Model = TypeVar("Model", LanguageModel, Classifier)
    Sampled = TypeVar("Sampled", SampledLanguageModel, SampledClassifier)

PosteriorOption = Annotated[
    str,
    typer.Option(
        "--posterior",
        metavar="mean|samples:K",
        help="Of a run that has a posterior: its mean, or the average over K weights drawn from it.",
    ),
]
PosteriorSeedOption = Annotated[int, typer.Option("--seed", help="With --posterior samples:K: decides the draws.")]


def load_model(run: Run, samples: Samples | None = None) -> LanguageModel:
    """The run's best model, or the average over samples of its weights.

    A warning if training may still find a better one.
    """
    _prepare(run, samples)
    model = _checked(run, run.language_model())
    if samples is None:
        return model
    from lmtool.posterior import sampled_language_model

    return _told(run, sampled_language_model(run, model, samples))


def load_classifier(run: Run, samples: Samples | None = None) -> Classifier:
    """As `load_model`, of a classifier."""
    _prepare(run, samples)
    model = _checked(run, run.classifier())
    if samples is None:
        return model
    from lmtool.posterior import sampled_classifier

    return _told(run, sampled_classifier(run, model, samples))


def _told(run: Run, model: Sampled) -> Sampled:
    terminal.say(f"{run.path}: {len(model.samples)} samples of its weights, {model.num_bytes / 1e6:,.1f} MB of memory")
    return model


def _prepare(run: Run, samples: Samples | None) -> None:
    if samples is not None:
        from lmtool.posterior import check_posterior

        check_posterior(run)
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


def open_model(path: Path, samples: Samples | None = None) -> tuple[Run, LanguageModel]:
    """The run at a path and its model. Raises DataError if there is none, or it is damaged."""
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    return run, load_model(run, samples)


def open_classifier(path: Path, samples: Samples | None = None) -> tuple[Run, Classifier]:
    """The run at a path and its classifier. Raises DataError if there is none, or it is damaged."""
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    return run, load_classifier(run, samples)
