"""Which options a user gave, and which of these are about runs of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import typer

    from lmtool.predicts import Predicts
    from lmtool.run import Run

    Foreign = Mapping[Predicts, tuple[Sequence[str], str]]
    """By what runs predict, the parameters of options that they have no use for, and what these are about."""


def given_options(context: typer.Context) -> dict[str, str]:
    """Those of the command line: their parameters' names, and how they are spelled."""
    found = {}
    for parameter in context.command.params:
        source = parameter.name and context.get_parameter_source(parameter.name)
        if parameter.name and source and source.name == "COMMANDLINE":
            found[parameter.name] = max(parameter.opts, key=len)
    return found


def open_about(path: Path, given: Mapping[str, str], foreign: Foreign) -> Run:
    """A run that the options are about.

    Args:
        path: Of the run.
        given: From `given_options`.
        foreign: What the command knows of options.

    Raises:
        UsageError: names the first option that is about another kind.
    """
    from lmtool.errors import UsageError
    from lmtool.predicts import KINDS
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    names, what = foreign.get(run.predicts, ((), ""))
    if wrong := next((name for name in names if name in given), None):
        raise UsageError(
            f"{given[wrong]} is about {what}, and {run.path} is {KINDS[run.predicts]}", hint="leave it out"
        )
    return run


__all__ = ["given_options", "open_about"]
