"""`lmtool config`: write, check and show config files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmtool.cli import terminal

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, add_completion=False, help="Write, check and show config files."
)

File = Annotated[Path, typer.Argument(help="A TOML config.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over what the file says.")]


@app.command()
def new(
    model: Annotated[str, typer.Option(help="The model to write settings for.")] = "lstm",
    tokenizer: Annotated[str | None, typer.Option(help="The tokenizer.")] = None,
    task: Annotated[str | None, typer.Option(help="The task.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="The optimizer.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A new file; stdout if left out.")] = None,
) -> None:
    """Write a config with every setting, its default and what it is for."""
    from lmtool.config_docs import template
    from lmtool.errors import UsageError

    choices = {"model": model, "tokenizer": tokenizer, "task": task, "optimizer": optimizer}
    text = template(terminal.registry(), {kind: name for kind, name in choices.items() if name})
    if output is None:
        terminal.answer(text.rstrip("\n"))
        return
    if output.exists():
        raise UsageError(f"{output} exists already", hint="choose another name, or remove it first")
    output.write_text(text, encoding="utf-8")
    terminal.say(f"wrote {output}; `lmtool config check {output}` checks it, `lmtool train {output}` trains it")


@app.command()
def check(file: File, overrides: Overrides = None) -> None:
    """Check a config against the schemas of the components that it names; nothing is read or trained."""
    from lmtool.config import load_config

    load_config(file, terminal.registry(), overrides=overrides or ())
    terminal.say(f"{file}: ok")


@app.command()
def show(
    file: File,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of TOML.")] = False,
) -> None:
    """Print a config with every default filled in."""
    from lmtool.config import load_config

    config = load_config(file, terminal.registry(), overrides=overrides or ())
    if as_json:
        terminal.answer_json(config.to_dict())
    else:
        terminal.answer(config.to_toml().rstrip("\n"))


@app.command()
def schema() -> None:
    """Print the JSON schema of a config file, with the settings of every installed component."""
    from lmtool.config_docs import json_schema

    terminal.answer_json(json_schema(terminal.registry()))
