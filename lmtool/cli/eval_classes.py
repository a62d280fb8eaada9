"""`lmtool eval` of classifiers, and the linear model beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from lmtool.cli import terminal
from lmtool.cli.eval_asked import evaluation_config, names_of, posterior_of, show
from lmtool.cli.models import load_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lmtool.cli.eval_asked import Asked
    from lmtool.config import EvaluationConfig
    from lmtool.evaluation.class_report import ClassResult
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.run import Run


def baseline_of(runs: Sequence[Run], *, insist: bool) -> Run | None:
    """The linear model of what the first run learned from; None if one stands among the runs, or cannot be had.

    Raises:
        DataError: if it is insisted on.
    """
    from lmtool.errors import DataError, LmtoolError
    from lmtool.evaluation.baseline import MODEL, baseline_run

    if not insist and any(names_of(run)["model"] == MODEL for run in runs):
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

    def check(self) -> None:
        """Raise an error if nothing could be drawn, now and not after the evaluation."""
        if self.reliability:
            from lmtool.plots import check_can_plot

            check_can_plot(self.reliability)

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


def evaluate_classifiers(runs: Sequence[Run], asked: Asked, shown: Shown, *, baseline: Run | None) -> None:
    """Figures side by side, as JSON or as tables, those of the baseline last."""
    from lmtool.evaluation import class_report

    results = asked.answers(runs, partial(_judge_classifier, asked, shown, details=shown.details))
    if baseline:
        config = evaluation_config(runs[0], asked.overrides)

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
        show(lambda width: tables(width=width), class_report.legend(results))


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
    names = names_of(run)
    posterior = posterior_of(run, asked)
    return ClassResult(str(run.path), names["model"], run.tokenizer, names["tokenizer"], text, evaluation, posterior)
