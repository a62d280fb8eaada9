"""`lmtool eval`: how well runs predict a text, side by side."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtool.cli import terminal
from lmtool.cli.models import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.config import EvaluationConfig
    from lmtool.evaluation.report import Result
    from lmtool.evaluation.text import Texts
    from lmtool.run import Run

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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Evaluate one or more runs side by side on the same text.

    Perplexity is exp(nats per token) and exp(nats per word), each line's end counted once. Figures per word and per
    byte compare across tokenizers.
    """
    from lmtool.evaluation import report
    from lmtool.evaluation.text import Texts
    from lmtool.run import Run

    registry = terminal.registry()
    opened = [Run.open(path, registry) for path in runs]
    configs = [_evaluation_config(run, overrides or []) for run in opened]
    with tempfile.TemporaryDirectory(prefix="lmtool-eval-") as scratch, terminal.progress() as progress:
        texts = Texts(on, data, scratch=Path(scratch), registry=registry, progress=progress.update)
        results = [_result(run, config, texts, progress) for run, config in zip(opened, configs, strict=True)]
    for split in dict.fromkeys(one.text.split for one in results if not one.text.chosen):
        terminal.say(f"evaluated on the {split} split; `--on SPLIT|FILE` takes another text")
    if as_json:
        terminal.answer_json(report.to_json(results))
    else:
        _show(results)


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


def _result(run: Run, config: EvaluationConfig, texts: Texts, progress: terminal.Progress) -> Result:
    from lmtool.evaluation import evaluate, make_evaluators
    from lmtool.evaluation.report import Result

    text = texts.of(run)
    evaluation = evaluate(
        load_model(run),
        text.ids,
        run.tokenizer,
        make_evaluators(config, terminal.registry()),
        config=config,
        progress=lambda fraction: progress.update(f"evaluating {run.path}", fraction),
    )
    names = {one["kind"]: one["name"] for one in run.components}
    return Result(str(run.path), names["model"], run.tokenizer, names["tokenizer"], text, evaluation)


def _show(results: Sequence[Result]) -> None:
    from rich.console import Console

    from lmtool.evaluation import report

    # Off a terminal there is no width to keep to, and nobody to read colours. Names may hold what looks like markup.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    for table in report.tables(results, console.width):
        console.print(table, crop=False)
        console.print()
    for line in report.legend(results):
        console.print(line, style="dim")
