"""Open the model of a run, for the commands that use one."""

from __future__ import annotations

from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lmtool.cli import terminal
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmtool.api import Answerer, Classifier, LanguageModel
    from lmtool.posterior import SampledClassifier, SampledLanguageModel, SampledTextModel, Samples
    from lmtool.raw_config import Raw
    from lmtool.run import Run
    from lmtool.settings import DecodingConfig

    Model = TypeVar("Model", LanguageModel, Classifier, Answerer)
    Sampled = TypeVar("Sampled", SampledLanguageModel, SampledClassifier, SampledTextModel)

PosteriorOption = Annotated[
    str,
    typer.Option(
        "--posterior",
        metavar="mean|samples:K",
        help="Of a run that has a posterior: its mean, or the average over K weights drawn from it.",
    ),
]
PosteriorSeedOption = Annotated[
    int, typer.Option("--seed", help="With --posterior samples:K, or where texts are drawn: decides the draws.")
]


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


def load_text_model(run: Run, samples: Samples | None = None) -> Answerer:
    """As `load_model`, of a text-to-text model."""
    _prepare(run, samples)
    model = _checked(run, run.text_model())
    if model.target_vocab_size != run.target_tokenizer.vocab_size:
        sizes = f"{model.target_vocab_size} ids of targets, their tokenizer {run.target_tokenizer.vocab_size}"
        raise DataError(f"{run.path} is damaged: its model has {sizes}", hint=f"remove {run.path} and train again")
    if samples is None:
        return model
    from lmtool.posterior import sampled_text_model

    return _told(run, sampled_text_model(run, model, samples))


def evaluation_section(run: Run) -> Raw:
    """How a run is evaluated, as its config says. Raises DataError if that is missing."""
    from lmtool.raw_config import Raw

    source = str(run.path / "config.toml")
    if "evaluation" not in run.config:  # the last of the sections that every run's config has
        raise DataError(f"{source} is damaged: it has no [evaluation]", f"remove {run.path} and train again")
    return Raw({"evaluation": deepcopy(run.config["evaluation"])}, source=source)


def decoding_of(run: Run, given: Mapping[str, Any] = MappingProxyType({})) -> DecodingConfig:
    """How a run's answers are searched for.

    Args:
        run: Whose own settings count where nothing else is given.
        given: Values that options have, by the settings' names.

    Raises:
        ConfigError: if one is wrong.
    """
    from lmtool.config import core_section

    raw = evaluation_section(run)
    for name, value in given.items():
        raw.set(f"evaluation.decoding.{name}", value, f"--{name.replace('_', '-')}")
    decoding: DecodingConfig = core_section(raw, "evaluation").decoding
    return decoding


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
