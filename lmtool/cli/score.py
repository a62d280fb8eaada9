"""`lmtool score`: a line of text in, what a model gives it out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.cli.models import open_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.scoring import Scores

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def score(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A text, compressed or not; - is stdin.")] = "-",
    context: Annotated[
        str, typer.Option(metavar="line|carry", help="line: score each line alone; carry: after all lines before it.")
    ] = "line",
    header: Annotated[bool, typer.Option("--header", help="Begin with a line of column names.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of columns.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="With --json: every token's nats, too.")] = False,
) -> None:
    """Score text line by line, in order: a line in, a line out, as soon as it is there.

    Columns, separated by tabs: nats (-ln of the line's probability, its end included), tokens (the end counts as one),
    perplexity (exp(nats/tokens)), unknown (tokens that the vocabulary lacks). An empty line is its end alone.

    When the reader of the output goes away, as `head` does, score ends in silence with exit code 0.
    """
    from lmtool.filters import answers, incoming_text
    from lmtool.score_output import COLUMNS, columns, objects

    _check_options(context, header=header, as_json=as_json, tokens=tokens)
    opened, model = open_model(run)
    scored, threads = _scorer(model, opened.tokenizer, context, run, tokens=tokens)
    if header:
        _write("\t".join(COLUMNS) + "\n")

    def answer(text: str) -> str:
        scores = scored(text)
        return objects(scores, tokens=tokens) if as_json else columns(scores)

    for text in answers(incoming_text(file), answer, threads):
        _write(text)


def _check_options(context: str, *, header: bool, as_json: bool, tokens: bool) -> None:
    from lmtool.errors import UsageError

    if context not in ("line", "carry"):
        raise UsageError(f"--context must be line or carry, got {context}")
    if tokens and not as_json:
        raise UsageError("--tokens has no columns; it needs --json")
    if header and as_json:
        raise UsageError("--header names columns; with --json there are none")


def _scorer(
    model: LanguageModel, tokenizer: Tokenizer, context: str, run: Path, *, tokens: bool
) -> tuple[Callable[[str], Scores], int]:
    """What scores a block of lines, and how many threads may do so at once."""
    from lmtool.data.encoding import available_cores
    from lmtool.scoring import score_carried, score_lines

    if context == "carry" and not model.stateful:
        terminal.say(f"{run} starts each line anew: --context carry changes nothing")
    if context == "line" or not model.stateful:
        threads = 0 if model.stateful else available_cores()
        return lambda text: score_lines(model, tokenizer, text, orders=tokens), threads
    state: Any = model.initial_state(1)

    def carried(text: str) -> Scores:
        nonlocal state
        scores, state = score_carried(model, tokenizer, text, state)
        return scores

    return carried, 0


def _write(text: str) -> None:
    """Whole lines at once, and now: somebody may be waiting for them."""
    sys.stdout.write(text)
    sys.stdout.flush()
