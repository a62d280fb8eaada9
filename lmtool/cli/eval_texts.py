"""`lmtool eval` of text-to-text models."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lmtool.cli import terminal
from lmtool.cli.eval_asked import names_of, posterior_of, show
from lmtool.cli.models import load_text_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lmtool.cli.eval_asked import Asked
    from lmtool.config import EvaluationConfig
    from lmtool.data.split import Split
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.evaluation.text_report import TextResult
    from lmtool.evaluation.texts import TextEvaluation
    from lmtool.posterior import Samples
    from lmtool.run import Run


def evaluate_text_models(runs: Sequence[Run], asked: Asked, *, seed: int, output: Path | None, as_json: bool) -> None:
    """Figures side by side, as JSON or as tables; the answers to a file, if one is named."""
    from lmtool.errors import UsageError
    from lmtool.evaluation import text_report

    if output is not None and len(runs) > 1:
        raise UsageError(f"--output {output} takes the answers of one run, got {len(runs)}", hint="evaluate one alone")
    results = asked.answers(runs, partial(_judge, asked, seed, output))
    comparisons = text_report.compare(results)
    for one in results[1:]:
        if not one.has_documents_of(results[0]):
            terminal.say(f"{one.run} was evaluated on other documents than {results[0].run}: no comparison")
    if as_json:
        terminal.answer_json(text_report.to_json(results, comparisons))
    else:
        show(lambda width: text_report.all_tables(results, comparisons, width), text_report.legend(results))


def _judge(
    asked: Asked,
    seed: int,
    output: Path | None,
    run: Run,
    config: EvaluationConfig,
    text: Text,
    progress: Callable[[float], None],
) -> TextResult:
    from lmtool.evaluation.text_report import TextResult

    with _lines_to(output) as write:
        samples = asked.samples_of(run)
        evaluation = evaluate_answers(run, text.ids, config, progress, seed=seed, samples=samples, write=write)
    names = names_of(run)
    of_targets = [one["name"] for one in run.components if one["kind"] == "tokenizer"][-1]
    tokenizers = run.tokenizer, names["tokenizer"], run.target_tokenizer, of_targets
    posterior = posterior_of(run, asked)
    return TextResult(str(run.path), names["model"], *tokenizers, text, config.decoding, evaluation, posterior)


def evaluate_answers(
    run: Run,
    split: Split,
    config: EvaluationConfig,
    progress: Callable[[float], None],
    *,
    seed: int = 0,
    samples: Samples | None = None,
    write: Callable[[Sequence[str]], None] = lambda answers: None,
) -> TextEvaluation:
    """Figures of what a run answers to the documents of a split; see `lmtool.evaluation.texts.evaluate_texts`."""
    from lmtool.evaluation import make_evaluators
    from lmtool.evaluation.answers import AnswerText
    from lmtool.evaluation.texts import evaluate_texts

    evaluators = make_evaluators(config, terminal.registry(), takes="texts")
    model, decoding = load_text_model(run, samples), config.decoding
    spelled = AnswerText(run.tokenizer, run.target_tokenizer, decoding.replace_unknown)
    return evaluate_texts(model, split, evaluators, spelled, decoding, seed=seed, progress=progress, write=write)


@contextmanager
def _lines_to(path: Path | None) -> Iterator[Callable[[Sequence[str]], None]]:
    """Writes lines to a file that is there when all of them are."""
    from lmtool.files import atomic_file

    if path is None:
        yield lambda lines: None
        return
    with atomic_file(path) as file:
        yield lambda lines: file.writelines(f"{line}\n".encode() for line in lines)
    terminal.say(f"wrote {path}")
