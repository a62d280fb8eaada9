"""`lmtool repeat`: train with several seeds, or on folds, and report means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.cli.train import data_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.config import RunConfig
    from lmtool.evaluation.repeated import Outcome
    from lmtool.repeat import Repetition
    from lmtool.run import Run
    from lmtool.signals import StopRequest

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def repeat(
    config: Annotated[Path, typer.Argument(help="A TOML config, as for `lmtool train`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder that the runs go into.")],
    data: Annotated[
        list[str] | None, typer.Option(help="A dataset folder, or raw text to learn from; raw text may be given again.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds, from training.seed on; 5, or 1 with --folds.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Cross-validate: so many parts of the training documents.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="train, valid or test. Default: test, else valid.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over all else.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")] = False,
) -> None:
    """Train the same with several seeds, or on several folds, and report mean and standard deviation.

    Each training is a run of its own in the folder. The same command goes on after an interruption, and takes runs that
    are finished as they are; with more seeds it adds to them. With folds, a part of the training documents is the test
    text of each run, and the test split itself stays unseen.
    """
    from lmtool.config import load_config
    from lmtool.data.of_config import dataset_of
    from lmtool.evaluation import make_evaluators
    from lmtool.repeat import begin, depends_on_seed, repetitions, undivided
    from lmtool.signals import StopRequest
    from lmtool.tasks.fitted import predicted_by
    from lmtool.training.judges import check_judges

    terminal.settings.quiet = terminal.settings.quiet or quiet
    _check_options(on, folds)
    resolved = load_config(config, terminal.registry(), flags=data_flags(data or []), overrides=overrides or ())
    seeds = seeds or (1 if folds else 5)
    if seeds > 1 and not depends_on_seed(resolved):
        terminal.warn(f"model '{resolved.model.name}' is counted: every seed gives the same")
    if resolved.optimizer is not None:
        from lmtool.heap import keep_heap

        keep_heap()
    check_judges(resolved, terminal.registry())
    make_evaluators(resolved.evaluation, terminal.registry(), takes=predicted_by(resolved.task))
    with StopRequest() as stop:
        with terminal.progress() as shown:
            read = undivided(resolved) if folds else resolved
            dataset = dataset_of(read, terminal.registry(), shown.update)
        begin(output, dataset, folds=folds, seed=resolved.training.seed)
        count = seeds * (folds or 1)
        outcomes = [
            _outcome(one, f"{number} of {count}", on, stop)
            for number, one in enumerate(repetitions(resolved, dataset, output, seeds=seeds, folds=folds), 1)
        ]
    _answer(output, resolved, outcomes, as_json=as_json)


def _check_options(on: str | None, folds: int | None) -> None:
    from lmtool.errors import UsageError

    if on not in (None, "train", "valid", "test"):
        raise UsageError(f"--on must be one of train, valid, test, got {on}")
    if folds and on:
        raise UsageError("--on has no use with --folds: each run is evaluated on its own fold")


def _outcome(one: Repetition, which: str, on: str | None, stop: StopRequest) -> Outcome:
    """Train a run if it is not finished, and evaluate it."""
    from lmtool.evaluation.repeated import Outcome
    from lmtool.training import train

    registry = terminal.registry()
    with terminal.progress() as shown:

        def report(phase: str, fraction: float, **fields: str) -> None:
            shown.update(f"{which}: {phase}", fraction, **fields)

        run = train(one.config, one.dataset, one.path, registry, stop=stop, report=report, warn=terminal.warn)
        stop.check()  # a signal that came when the run was all but finished
        metrics = _evaluate(run, one, on, report)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in list(metrics.items())[:3])
    terminal.say(f"{which}: {one.path}: {figures}")
    return Outcome(str(one.path), one.fold, one.seed, metrics)


def _evaluate(run: Run, one: Repetition, on: str | None, report: Any) -> dict[str, float]:
    from lmtool.cli.eval_texts import evaluate_answers
    from lmtool.cli.models import load_classifier, load_model
    from lmtool.evaluation import evaluate, make_evaluators
    from lmtool.evaluation.classes import evaluate_classes

    name = on or ("test" if "test" in one.dataset.split_names else "valid")
    split, config = one.dataset.split(name), one.config.evaluation

    def progress(fraction: float) -> None:
        report("evaluating", fraction)

    if run.predicts == "texts":
        found = evaluate_answers(run, split, config, progress).metrics
    elif run.predicts == "classes":
        evaluators = make_evaluators(config, terminal.registry(), takes="classes")
        found = evaluate_classes(load_classifier(run), split, evaluators, progress=progress).metrics
    else:
        evaluators = make_evaluators(config, terminal.registry())
        found = evaluate(load_model(run), split, run.tokenizer, evaluators, config=config, progress=progress).metrics
    return {metric: value.value for metric, value in found.items()}


def _answer(folder: Path, config: RunConfig, outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    from lmtool.evaluation.repeated import summarise, table
    from lmtool.repeat import end

    summaries = summarise(outcomes)
    results = to_json(outcomes, summaries)
    end(folder, results)
    if as_json:
        terminal.answer_json({"schema": 1, "folder": str(folder), "model": config.model.name, **results})
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, markup=False, emoji=False, width=width).print(table(summaries), crop=False)


def to_json(outcomes: Sequence[Outcome], summaries: Any) -> dict[str, Any]:
    """Every run's figures, and those of all."""
    from lmtool.evaluation.json_report import number

    runs = [
        {
            "run": one.run,
            "fold": one.fold,
            "seed": one.seed,
            "metrics": {name: number(value) for name, value in one.metrics.items()},
        }
        for one in outcomes
    ]
    return {"runs": runs, "metrics": {name: one.to_json() for name, one in summaries.items()}}
