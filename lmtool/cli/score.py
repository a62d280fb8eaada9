"""`lmtool score`: a line of text in, what a model gives it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.cli.models import PosteriorOption, PosteriorSeedOption, open_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.api import LanguageModel, Tokenizer
    from lmtool.conditions import Condition
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
    summary: Annotated[bool, typer.Option("--summary", help="Only the totals, at the end.")] = False,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="CONDITION", help="Print the lines for which it holds.")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="With --filter: print the other lines.")] = False,
    posterior: PosteriorOption = "mean",
    seed: PosteriorSeedOption = 0,
) -> None:
    """Score text line by line, in order: a line in, a line out, as soon as it is there.

    Columns, separated by tabs: nats (-ln of the line's probability, its end included), tokens (the end counts as one),
    token_perplexity (exp(nats/tokens)), unknown (tokens that the vocabulary lacks). An empty line is its end alone.

    A CONDITION compares nats, tokens, unknown, words, chars, bytes, token_perplexity, word_perplexity and bits_per_byte
    with numbers or each other: < <= > >= == !=, + - * /, and, or, not, parentheses.

    With --posterior samples:K each next token has the average of the probabilities that K samples of the weights give,
    and there is nats_sd, too, a column and a quantity: the standard deviation over the samples of a line's nats.

    \b
      lmtool score RUN corpus.txt --filter 'word_perplexity < 300 and words >= 3' > kept.txt

    When the reader of the output goes away, as `head` does, score ends in silence with exit code 0.
    """
    _check_options(
        context, header=header, as_json=as_json, tokens=tokens, summary=summary, filter_=filter_, invert=invert
    )
    from lmtool.data.sources import format_suffix
    from lmtool.posterior import parse

    if format_suffix(file) in (".jsonl", ".ndjson"):
        terminal.warn(f"{file} is scored as plain text; `jq -r .text | lmtool score {run}` scores a field")
    samples = parse(posterior, seed)
    condition = _condition(filter_, spread=samples is not None) if filter_ is not None else None
    opened, model = open_model(run, samples)
    scored, threads = _scorer(model, opened.tokenizer, context, run, tokens=tokens)
    if summary:
        _summarise(file, scored, threads, as_json=as_json, header=header)
    elif condition:
        _filter(file, scored, threads, condition, invert=invert, as_json=as_json, tokens=tokens)
    else:
        names = _column_names(spread=samples is not None) if header else None
        _score(file, scored, threads, header=names, as_json=as_json, tokens=tokens)


def _check_options(
    context: str, *, header: bool, as_json: bool, tokens: bool, summary: bool, filter_: str | None, invert: bool
) -> None:
    from lmtool.errors import UsageError

    if context not in ("line", "carry"):
        raise UsageError(f"--context must be line or carry, got {context}")
    if summary and (tokens or filter_ is not None):
        raise UsageError(f"--summary gives totals; {'--tokens' if tokens else '--filter'} asks for lines")
    if invert and filter_ is None:
        raise UsageError("--invert needs --filter")
    if tokens and not as_json:
        raise UsageError("--tokens has no columns; it needs --json")
    if header and (as_json or filter_ is not None):
        raise UsageError(f"--header names columns; with {'--json' if as_json else '--filter'} there are none")


def _condition(text: str, *, spread: bool) -> Condition:
    from lmtool.conditions import parse
    from lmtool.scoring import QUANTITIES, SPREAD

    return parse(text, (*QUANTITIES, SPREAD) if spread else QUANTITIES)


def _column_names(*, spread: bool) -> str:
    from lmtool.score_output import COLUMNS
    from lmtool.scoring import SPREAD

    return "\t".join((*COLUMNS, SPREAD) if spread else COLUMNS)


def _score(
    file: str, scored: Callable[[str], Scores], threads: int, *, header: str | None, as_json: bool, tokens: bool
) -> None:
    from lmtool.filters import answers, incoming_text
    from lmtool.score_output import columns, objects

    def answer(text: str) -> str:
        scores = scored(text)
        return objects(scores, tokens=tokens) if as_json else columns(scores)

    if header:
        terminal.write_now(header + "\n")
    for text in answers(incoming_text(file), answer, threads):
        terminal.write_now(text)


def _filter(
    file: str,
    scored: Callable[[str], Scores],
    threads: int,
    condition: Condition,
    *,
    invert: bool,
    as_json: bool,
    tokens: bool,
) -> None:
    """The lines for which a condition holds, or the others; then, on stderr, how many these are."""
    from lmtool.filters import answers, incoming_text
    from lmtool.score_output import objects

    def answer(text: str) -> tuple[str, int]:
        scores = scored(text)
        kept = condition(lambda name: getattr(scores, name), len(scores)) ^ invert
        return objects(scores.select(kept), tokens=tokens) if as_json else scores.kept_text(kept), len(scores)

    num_kept = num_lines = 0
    for text, lines in answers(incoming_text(file), answer, threads):
        terminal.write_now(text)
        num_kept, num_lines = num_kept + text.count("\n"), num_lines + lines
    terminal.say(f"kept {num_kept:,} of {num_lines:,} lines")


def _summarise(file: str, scored: Callable[[str], Scores], threads: int, *, as_json: bool, header: bool) -> None:
    from lmtool.filters import answers, incoming_text
    from lmtool.score_output import Totals, summary

    every = answers(incoming_text(file), lambda text: Totals.of(scored(text)), threads)
    terminal.write_now(summary(sum(every, Totals()), as_json=as_json, header=header))


def _scorer(
    model: LanguageModel, tokenizer: Tokenizer, context: str, run: Path, *, tokens: bool
) -> tuple[Callable[[str], Scores], int]:
    """What scores a block of lines, and how many threads may do so at once."""
    from lmtool.data.encoding import MOST_THREADS, available_cores
    from lmtool.scoring import score_carried, score_lines

    if context == "carry" and not model.stateful:
        terminal.say(f"{run} starts each line anew: --context carry changes nothing")
    if context == "line" or not model.stateful:
        threads = 0 if model.stateful else min(MOST_THREADS, available_cores())
        return lambda text: score_lines(model, tokenizer, text, orders=tokens), threads
    state: Any = model.initial_state(1)

    def carried(text: str) -> Scores:
        nonlocal state
        scores, state = score_carried(model, tokenizer, text, state)
        return scores

    return carried, 0
