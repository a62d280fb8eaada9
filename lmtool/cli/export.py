"""`lmtool export`: a run's model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lmtool.cli import terminal
from lmtool.cli.models import open_model

if TYPE_CHECKING:
    from lmtool.api import ExportableModel, LanguageModel
    from lmtool.run import Run

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    to: Annotated[
        str, typer.Option(metavar="FORMAT", help="arpa, safetensors, stablehlo, word2vec, or what the model has.")
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="Compressed as .gz, .bz2, .xz, .zst say; - is stdout.")
    ] = "-",
) -> None:
    """Write a trained model in a form that other programs read.

    The file's path goes to stdout; without -o the file itself does.
    """
    from lmtool.data.sinks import STDOUT, open_sink
    from lmtool.posterior import has_posterior, posterior_file

    _check_kind(run)
    opened, model = open_model(run)
    exportable = _exportable(opened, model, to)
    with open_sink(output) as file:
        exportable.export(to, file, opened.tokenizer)
    if has_posterior(opened):
        terminal.say(f"the mean alone; {posterior_file(opened)} has a standard deviation of each weight, by its name")
    if output != STDOUT:
        terminal.answer(output)


def _check_kind(path: Path) -> None:
    """Raise DataError of another run than a language model's."""
    from lmtool.errors import DataError
    from lmtool.predicts import KINDS
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    if run.predicts != "tokens":
        hint = f"what it has learned lies in {path / 'model'}; networks have a weights.safetensors there"
        raise DataError(f"only language models are exported, and {path} is {KINDS[run.predicts]}", hint)


def _exportable(run: Run, model: LanguageModel, to: str) -> ExportableModel:
    """The model, if it has the format. Raises UsageError that names those it has."""
    from lmtool.errors import UsageError, did_you_mean

    formats: tuple[str, ...] = getattr(model, "export_formats", ())
    if to not in formats:
        name = next(one["name"] for one in run.components if one["kind"] == "model")
        has = ", ".join(formats) or "none"
        raise UsageError(
            f"{run.path} cannot be exported to '{to}'{did_you_mean(to, formats)}; formats of model '{name}': {has}"
        )
    return cast("ExportableModel", model)
