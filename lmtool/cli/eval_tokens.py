"""`lmtool eval` of language models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lmtool.cli import terminal
from lmtool.cli.eval_asked import names_of, posterior_of, show
from lmtool.cli.models import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.cli.eval_asked import Asked
    from lmtool.config import EvaluationConfig
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.evaluation.token_report import TokenResult
    from lmtool.run import Run


def evaluate_language_models(runs: Sequence[Run], asked: Asked, *, as_json: bool) -> None:
    """Figures side by side, as JSON or as tables."""
    from lmtool.evaluation import token_report

    results = asked.answers(runs, partial(_judge_language_model, asked))
    comparisons = token_report.compare(results)
    if as_json:
        terminal.answer_json(token_report.to_json(results, comparisons))
    else:
        show(lambda width: token_report.all_tables(results, comparisons, width), token_report.legend(results))


def _judge_language_model(
    asked: Asked, run: Run, config: EvaluationConfig, text: Text, progress: Callable[[float], None]
) -> TokenResult:
    from lmtool.evaluation import evaluate, make_evaluators
    from lmtool.evaluation.token_report import TokenResult

    evaluators = make_evaluators(config, terminal.registry())
    model = load_model(run, asked.samples_of(run))
    evaluation = evaluate(model, text.ids, run.tokenizer, evaluators, config=config, progress=progress)
    names = names_of(run)
    posterior = posterior_of(run, asked)
    return TokenResult(str(run.path), names["model"], run.tokenizer, names["tokenizer"], text, evaluation, posterior)
