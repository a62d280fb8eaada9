"""What runs of all kinds are evaluated by: options, texts, and how tables are shown."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lmtool.cli import terminal
from lmtool.cli.models import evaluation_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.table import Table

    from lmtool.config import EvaluationConfig
    from lmtool.evaluation.class_report import ClassResult
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.evaluation.text_report import TextResult
    from lmtool.evaluation.token_report import TokenResult
    from lmtool.posterior import Samples
    from lmtool.run import Run

    Answer = TypeVar("Answer", TokenResult, ClassResult, TextResult)
    Judge = Callable[[Run, EvaluationConfig, Text, Callable[[float], None]], Answer]


@dataclass(frozen=True)
class Asked:
    """What to evaluate on, and how: the options of that name."""

    on: str | None
    data: str | None
    overrides: list[str]
    samples: Samples | None = None
    """Of the weights of each run that has a posterior; None for its mean."""

    def check_evaluators(self, runs: Sequence[Run]) -> None:
        """Raise ConfigError, before anything is read, if a run cannot be judged as its config says."""
        from lmtool.evaluation import make_evaluators

        for run in runs:
            make_evaluators(evaluation_config(run, self.overrides), terminal.registry(), takes=run.predicts)

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
        from lmtool.evaluation.evaluated_text import Texts

        configs = [evaluation_config(run, self.overrides) for run in runs]
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


def evaluation_config(run: Run, overrides: Sequence[str]) -> EvaluationConfig:
    """How a run is evaluated, with `--set` over what its own config says."""
    from lmtool.config import core_section
    from lmtool.errors import ConfigError
    from lmtool.raw_config import apply_overrides

    raw = evaluation_section(run)
    apply_overrides(raw, overrides)
    for key, origin in raw.origins.items():
        if not key.startswith("evaluation."):
            raise ConfigError(f"{origin}: eval has no use for it; it takes evaluation.KEY=VALUE")
    config: EvaluationConfig = core_section(raw, "evaluation")
    return config


def names_of(run: Run) -> dict[str, str]:
    """Of a run's components, by kind: of a kind the first, so the model and not its encoder, the tokenizer of documents
    and not that of targets."""
    return {one["kind"]: one["name"] for one in reversed(run.components)}


def posterior_of(run: Run, asked: Asked) -> str | None:
    """How a run's posterior is used; None if it has none."""
    from lmtool.posterior import has_posterior

    return str(asked.samples or "mean") if has_posterior(run) else None


def show(tables: Callable[[int], Iterable[Table]], legend: Sequence[str]) -> None:
    from rich.console import Console

    # Off a terminal there is no width to keep to, and nobody to read colours. Names may hold what looks like markup.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    for table in tables(console.width):
        console.print(table, crop=False)
        console.print()
    for line in legend:
        console.print(line, style="dim")
