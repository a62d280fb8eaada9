"""`lmtool eval`: how well runs predict a text, side by side."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from lmtool.cli import terminal
from lmtool.cli.models import PosteriorOption, PosteriorSeedOption, load_classifier, load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.table import Table

    from lmtool.config import EvaluationConfig
    from lmtool.evaluation.class_report import ClassResult
    from lmtool.evaluation.report import Result
    from lmtool.evaluation.text import Text
    from lmtool.posterior import Samples
    from lmtool.run import Run

    Answer = TypeVar("Answer", Result, ClassResult)
    Judge = Callable[[Run, EvaluationConfig, Text, Callable[[float], None]], Answer]

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs to compare.")],
    on: Annotated[
        str | None,
        typer.Option(metavar="SPLIT|FILE", help="train, valid or test; or a text. Default: test, else valid."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Take the split from this dataset, not from the run's own.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in evaluation.batch_size=1.")
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Of classifiers: every class and confusion of each run; of one, anyhow.")
    ] = False,
    baseline: Annotated[
        bool | None,
        typer.Option(
            "--baseline/--no-baseline",
            help="Of classifiers: the linear model beside them. Default: in the table, if no run is one.",
        ),
    ] = None,
    posterior: PosteriorOption = "mean",
    seed: PosteriorSeedOption = 0,
    reliability: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of classifiers: draw how often they are right by how sure they are; .png, .svg or .pdf.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Evaluate one or more runs side by side on the same text.

    Language models: perplexity is exp(nats per token) and exp(nats per word), each line's end counted once. Figures
    per word and per byte compare across tokenizers. Where tokenizers are the same, each run is compared with the first
    one on the same text: how much its nats per token differ, and how often chance alone would do that (p).

    Classifiers: accuracy, precision, recall, F1 and log loss of labelled documents. Each run is compared with the
    first one on the same documents: how much it differs, and how often chance alone would do that (p).
    """
    from lmtool.errors import UsageError
    from lmtool.posterior import parse
    from lmtool.run import Run

    opened = [Run.open(path, terminal.registry()) for path in runs]
    asked = Asked(on, data, overrides or [], parse(posterior, seed))
    asked.check_posteriors(opened)
    if reliability:
        from lmtool.plots import check_can_plot

        check_can_plot(reliability)
    if _kind(opened) == "classes":
        wanted = not as_json if baseline is None else baseline
        linear = _baseline(opened, insist=baseline is True) if wanted else None
        shown = Shown(details=details or len(runs) == 1, as_json=as_json, reliability=reliability)
        _evaluate_classifiers(opened, asked, shown, baseline=linear)
    elif baseline or reliability:
        option = "--baseline" if baseline else "--reliability"
        raise UsageError(f"{option} is about classes, and a language model has none", hint="leave it out")
    else:
        _evaluate_language_models(opened, asked, details=details, as_json=as_json)


@dataclass(frozen=True)
class Asked:
    """What to evaluate on, and how: the options of that name."""

    on: str | None
    data: str | None
    overrides: list[str]
    samples: Samples | None = None
    """Of the weights of each run that has a posterior; None for its mean."""

    def check_posteriors(self, runs: Sequence[Run]) -> None:
        """Say which runs have none. Raises DataError if samples are asked for, and no run has one."""
        from lmtool.posterior import check_posterior, has_posterior

        if self.samples is None:
            return
        without = [run for run in runs if not has_posterior(run)]
        if len(without) == len(runs):
            check_posterior(runs[0])
        for run in without:
            terminal.say(f"{run.path} has no posterior: it is evaluated at its weights")

    def samples_of(self, run: Run) -> Samples | None:
        from lmtool.posterior import has_posterior

        return self.samples if has_posterior(run) else None

    def answers(self, runs: Sequence[Run], judge: Judge[Answer], *, quiet: bool = False) -> list[Answer]:
        """What becomes of each run; on stderr, which split was taken if nobody said."""
        from lmtool.evaluation.text import Texts

        configs = [_evaluation_config(run, self.overrides) for run in runs]
        answers, splits = [], {}
        with tempfile.TemporaryDirectory(prefix="lmtool-eval-") as scratch, terminal.progress() as shown:
            registry = terminal.registry()
            texts = Texts(self.on, self.data, scratch=Path(scratch), registry=registry, progress=shown.update)
            for run, config in zip(runs, configs, strict=True):
                text = texts.of(run)
                answers.append(judge(run, config, text, partial(shown.update, f"evaluating {run.path}")))
                splits[text.split] = text.chosen
        for split in (split for split, chosen in splits.items() if not chosen and not quiet):
            terminal.say(f"evaluated on the {split} split; `--on SPLIT|FILE` takes another text")
        return answers


def _kind(runs: Sequence[Run]) -> Literal["tokens", "classes"]:
    """What the runs predict. Raises UsageError if it is not the same."""
    from lmtool.errors import UsageError

    first = runs[0]
    for run in runs[1:]:
        if run.predicts != first.predicts:
            one, other = (first, run) if first.predicts == "classes" else (run, first)
            what = f"{one.path} is a classifier and {other.path} a language model: they have no figures in common"
            raise UsageError(what, hint="evaluate them one by one")
    return first.predicts


def _evaluation_config(run: Run, overrides: list[str]) -> EvaluationConfig:
    from lmtool.config import Raw, apply_overrides, core_section
    from lmtool.errors import ConfigError, DataError

    source = str(run.path / "config.toml")
    if "evaluation" not in run.config:  # the last of the sections that every run's config has
        raise DataError(f"{source} is damaged: it has no [evaluation]", f"remove {run.path} and train again")
    raw = Raw({"evaluation": run.config["evaluation"]}, source=source)
    apply_overrides(raw, overrides)
    for key, origin in raw.origins.items():
        if not key.startswith("evaluation."):
            raise ConfigError(f"{origin}: eval has no use for it; it takes evaluation.KEY=VALUE")
    config: EvaluationConfig = core_section(raw, "evaluation")
    return config


def _names(run: Run) -> dict[str, str]:
    """Of a run's components, by kind."""
    return {one["kind"]: one["name"] for one in run.components}


def _posterior(run: Run, asked: Asked) -> str | None:
    """How a run's posterior is used; None if it has none."""
    from lmtool.posterior import has_posterior

    return str(asked.samples or "mean") if has_posterior(run) else None


# Language models ------------------------------------------------------------------------------------------------------


def _evaluate_language_models(runs: Sequence[Run], asked: Asked, *, details: bool, as_json: bool) -> None:
    from lmtool.errors import UsageError
    from lmtool.evaluation import report

    if details:
        raise UsageError("--details are about classes, and a language model has none", hint="leave it out")
    results = asked.answers(runs, partial(_judge_language_model, asked))
    comparisons = report.compare(results)
    if as_json:
        terminal.answer_json(report.to_json(results, comparisons))
    else:
        _show(lambda width: report.all_tables(results, comparisons, width), report.legend(results))


def _judge_language_model(
    asked: Asked, run: Run, config: EvaluationConfig, text: Text, progress: Callable[[float], None]
) -> Result:
    from lmtool.evaluation import evaluate, make_evaluators
    from lmtool.evaluation.report import Result

    evaluators = make_evaluators(config, terminal.registry())
    model = load_model(run, asked.samples_of(run))
    evaluation = evaluate(model, text.ids, run.tokenizer, evaluators, config=config, progress=progress)
    names = _names(run)
    posterior = _posterior(run, asked)
    return Result(str(run.path), names["model"], run.tokenizer, names["tokenizer"], text, evaluation, posterior)


# Classifiers ----------------------------------------------------------------------------------------------------------


def _baseline(runs: Sequence[Run], *, insist: bool) -> Run | None:
    """The linear model of what the first run learned from; None if one stands among the runs, or cannot be had.

    Raises:
        DataError: if it is insisted on.
    """
    from lmtool.errors import DataError, LmtoolError
    from lmtool.evaluation.baseline import MODEL, baseline_run

    if not insist and any(_names(run)["model"] == MODEL for run in runs):
        return None
    try:
        with terminal.progress() as shown:
            found = baseline_run(runs[0], terminal.registry(), shown.update)
    except LmtoolError as error:
        if insist:
            raise
        terminal.warn(f"no baseline: {error.message}")
        return None
    if found is None and insist:
        raise DataError(f"{runs[0].path} has no baseline: it is one, or the dataset that it learned is not there")
    return found


@dataclass(frozen=True)
class Shown:
    """What is said of classifiers, and how: the options of that name."""

    details: bool
    as_json: bool
    reliability: Path | None

    def evaluators(self, config: EvaluationConfig, *, details: bool) -> EvaluationConfig:
        """With what tables and pictures need besides."""
        from lmtool.evaluation import DEFAULT_EVALUATORS

        evaluators = list(config.evaluators or DEFAULT_EVALUATORS["classes"])
        names = [one if isinstance(one, str) else one.get("name") for one in evaluators]
        if details and not config.evaluators:
            evaluators.append("confusion")
        if self.reliability and CALIBRATION not in names:
            evaluators.append(CALIBRATION)
        return config.model_copy(update={"evaluators": evaluators})


CALIBRATION = "calibration"
"""The evaluator whose details a reliability diagram is drawn from."""


def _evaluate_classifiers(runs: Sequence[Run], asked: Asked, shown: Shown, *, baseline: Run | None) -> None:
    from lmtool.evaluation import class_report

    results = asked.answers(runs, partial(_judge_classifier, asked, shown, details=shown.details))
    if baseline:
        config = _evaluation_config(runs[0], asked.overrides)

        def judge(run: Run, _own: EvaluationConfig, text: Text, progress: Callable[[float], None]) -> ClassResult:
            return _judge_classifier(asked, shown, run, config, text, progress, details=False)

        (linear,) = asked.answers([baseline], judge, quiet=True)
        results.append(replace(linear, run="baseline"))
    comparisons = class_report.compare(results)
    for result in results[1:]:
        if not result.has_documents_of(results[0]):
            terminal.say(f"{result.run} was evaluated on other documents than {results[0].run}: no comparison")
    if shown.reliability:
        _draw_reliability(shown.reliability, results)
    if shown.as_json:
        terminal.answer_json(class_report.to_json(results, comparisons))
    else:
        tables = partial(class_report.all_tables, results, comparisons, details=shown.details)
        _show(lambda width: tables(width=width), class_report.legend(results))


def _draw_reliability(path: Path, results: Sequence[ClassResult]) -> None:
    from lmtool.plots import Reliability, draw_reliability

    def name(result: ClassResult) -> str:
        drawn = result.posterior not in (None, "mean")
        return f"{result.run} {result.posterior}" if drawn else result.run

    draw_reliability(
        path,
        [
            Reliability(name(one), one.evaluation.details["reliability"], one.evaluation.metrics["ece"].value)
            for one in results
        ],
    )
    terminal.say(f"drew {path}")


def _judge_classifier(
    asked: Asked,
    shown: Shown,
    run: Run,
    config: EvaluationConfig,
    text: Text,
    progress: Callable[[float], None],
    *,
    details: bool,
) -> ClassResult:
    from lmtool.evaluation import make_evaluators
    from lmtool.evaluation.class_report import ClassResult
    from lmtool.evaluation.classes import evaluate_classes

    config = shown.evaluators(config, details=details)
    evaluators = make_evaluators(config, terminal.registry(), takes="classes")
    model = load_classifier(run, asked.samples_of(run))
    evaluation = evaluate_classes(model, text.ids, evaluators, progress=progress)
    names = _names(run)
    posterior = _posterior(run, asked)
    return ClassResult(str(run.path), names["model"], run.tokenizer, names["tokenizer"], text, evaluation, posterior)


def _show(tables: Callable[[int], Iterable[Table]], legend: Sequence[str]) -> None:
    from rich.console import Console

    # Off a terminal there is no width to keep to, and nobody to read colours. Names may hold what looks like markup.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    for table in tables(console.width):
        console.print(table, crop=False)
        console.print()
    for line in legend:
        console.print(line, style="dim")
