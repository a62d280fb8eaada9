"""`lmtool eval`: how well runs predict a text, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtool.cli import terminal
from lmtool.cli.models import PosteriorOption, PosteriorSeedOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmtool.predicts import Predicts
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
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in evaluation.decoding.beam=1.")
    ] = None,
    details: Annotated[
        bool,
        typer.Option("--details", help="Of several classifiers, too: each class and the confusions."),
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
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Of a single text-to-text model: write its answers."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Evaluate one or more runs side by side on the same text.

    Language models: perplexity is exp(nats per token) and exp(nats per word), each line's end counted once. Figures
    per word and per byte compare across tokenizers. Where tokenizers are the same, each run is compared with the first
    one on the same text: how much its nats per token differ, and how often chance alone would do that (p).

    Classifiers: accuracy, precision, recall, F1 and log loss of labelled documents. Each run is compared with the
    first one on the same documents: how much it differs, and how often chance alone would do that (p).

    Text-to-text models: BLEU and chrF of the answers to documents, and what the model gives to the first reference of
    each. Each run is compared with the first one on the same documents.
    """
    from lmtool.cli.eval_asked import Asked
    from lmtool.posterior import parse
    from lmtool.run import Run

    opened = [Run.open(path, terminal.registry()) for path in runs]
    asked = Asked(on, data, overrides or [], parse(posterior, seed))
    kind = _kind(opened)
    if kind != "classes":
        _check_about(kind, "classes", {"--details": details, "--baseline": baseline, "--reliability": reliability})
    if kind != "texts":
        _check_about(kind, "texts", {"--output": output})
    asked.check_evaluators(opened)
    asked.check_posteriors(opened)
    if kind == "tokens":
        from lmtool.cli.eval_tokens import evaluate_language_models

        evaluate_language_models(opened, asked, as_json=as_json)
    elif kind == "texts":
        from lmtool.cli.eval_texts import evaluate_text_models

        evaluate_text_models(opened, asked, seed=seed, output=output, as_json=as_json)
    else:
        from lmtool.cli.eval_classes import Shown, baseline_of, evaluate_classifiers

        shown = Shown(details=details or len(runs) == 1, as_json=as_json, reliability=reliability)
        shown.check()
        wanted = not as_json if baseline is None else baseline
        linear = baseline_of(opened, insist=baseline is True) if wanted else None
        evaluate_classifiers(opened, asked, shown, baseline=linear)


def _kind(runs: Sequence[Run]) -> Predicts:
    """What the runs predict. Raises UsageError if it is not the same."""
    from lmtool.errors import UsageError
    from lmtool.predicts import KINDS

    by_kind = {run.predicts: run for run in runs}
    if len(by_kind) > 1:
        one, other, *_ = sorted(by_kind)
        named = f"{by_kind[one].path} is {KINDS[one]} and {by_kind[other].path} {KINDS[other]}"
        raise UsageError(f"{named}: they have no figures in common", hint="evaluate them one by one")
    return runs[0].predicts


def _check_about(kind: Predicts, about: str, options: Mapping[str, object]) -> None:
    """Raise UsageError for an option that is about something that the runs do not predict."""
    from lmtool.errors import UsageError
    from lmtool.predicts import KINDS

    for name, given in options.items():
        if given:
            verb = "are" if name.endswith("s") else "is"
            raise UsageError(f"{name} {verb} about {about}, and {KINDS[kind]} has none", hint="leave it out")
