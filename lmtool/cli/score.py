"""`lmtool score`: a line of text in, what a model gives it out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.cli.models import open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.scoring import LineScore

app = typer.Typer(rich_markup_mode=None, add_completion=False)

COLUMNS = ("nats", "tokens", "perplexity", "unknown")


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
    from lmtool.filters import incoming_lines

    _check_options(context, header=header, as_json=as_json, tokens=tokens)
    opened, model = open_model(run)
    scorer = _scorer(model, opened.tokenizer, context, run)
    if header:
        _write(["\t".join(COLUMNS)])
    for lines in incoming_lines(file):
        scores = scorer(lines)
        if as_json:
            _write([_to_json(one, opened.tokenizer if tokens else None) for one in scores])
        else:
            _write([_to_columns(one) for one in scores])


def _check_options(context: str, *, header: bool, as_json: bool, tokens: bool) -> None:
    from lmtool.errors import UsageError

    if context not in ("line", "carry"):
        raise UsageError(f"--context must be line or carry, got {context}")
    if tokens and not as_json:
        raise UsageError("--tokens has no columns; it needs --json")
    if header and as_json:
        raise UsageError("--header names columns; with --json there are none")


def _scorer(
    model: LanguageModel, tokenizer: Tokenizer, context: str, run: Path
) -> Callable[[Sequence[str]], list[LineScore]]:
    from lmtool.scoring import score_carried, score_lines

    if context == "line":
        return lambda lines: score_lines(model, tokenizer, lines)
    if not model.stateful:
        terminal.say(f"{run} starts each line anew: --context carry changes nothing")
        return lambda lines: score_lines(model, tokenizer, lines)
    state: Any = model.initial_state(1)

    def carried(lines: Sequence[str]) -> list[LineScore]:
        nonlocal state
        scores, state = score_carried(model, tokenizer, lines, state)
        return scores

    return carried


def _to_columns(score: LineScore) -> str:
    return f"{score.nats:.6f}\t{score.num_tokens}\t{score.token_perplexity:.6g}\t{score.num_unknown}"


def _to_json(score: LineScore, tokenizer: Tokenizer | None) -> str:
    from lmtool.evaluation.report import number

    described: dict[str, Any] = {
        "text": score.text,
        "nats": number(score.nats),
        "tokens": score.num_tokens,
        "unknown": score.num_unknown,
        "token_perplexity": number(score.token_perplexity),
        "word_perplexity": number(score.word_perplexity),
        "bits_per_byte": number(score.bits_per_byte),
    }
    if tokenizer:
        ids = score.ids.tolist()
        rows = zip(tokenizer.tokens(ids), ids, (-score.log_probs).tolist(), strict=True)
        described["token_scores"] = [{"token": token, "id": id, "nats": number(nats)} for token, id, nats in rows]
    return json.dumps(described, ensure_ascii=False, allow_nan=False)


def _write(lines: Sequence[str]) -> None:
    """Whole lines at once, and now: somebody may be waiting for them."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
