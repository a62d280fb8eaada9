"""Which options a user gave, and which of these are about runs of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import typer

    from lmtool.run import Run


def given_options(context: typer.Context) -> dict[str, str]:
    """Those of the command line: their parameters' names, and how they are spelled."""
    found = {}
    for parameter in context.command.params:
        source = parameter.name and context.get_parameter_source(parameter.name)
        if parameter.name and source and source.name == "COMMANDLINE":
            found[parameter.name] = max(parameter.opts, key=len)
    return found


def check_about(run: Run, given: Mapping[str, str], names: Iterable[str], what: str) -> None:
    """Refuse options that a run has no use for.

    Args:
        run: Which they are not about.
        given: From `given_options`.
        names: Of the parameters of options that may not be among them.
        what: They are about.

    Raises:
        UsageError: names the first of them.
    """
    from lmtool.errors import UsageError
    from lmtool.predicts import KINDS

    if wrong := next((name for name in names if name in given), None):
        raise UsageError(
            f"{given[wrong]} is about {what}, and {run.path} is {KINDS[run.predicts]}", hint="leave it out"
        )


__all__ = ["check_about", "given_options"]
