"""`lmtool score`: a line of text, or a document and a target, in, what a model gives it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtool.cli import terminal
from lmtool.cli.given import given_options, open_about
from lmtool.cli.models import PosteriorOption, PosteriorSeedOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.cli.given import Foreign
    from lmtool.cli.score_asked import Scoring
    from lmtool.conditions import Condition
    from lmtool.run import Run

app = typer.Typer(rich_markup_mode=None, add_completion=False)

OF_LINES = ("context",)
OF_RECORDS = ("field", "target", "prefix", "as_is")
FOREIGN: Foreign = {"texts": (OF_LINES, "lines of text"), "tokens": (OF_RECORDS, "records")}


@app.command()
def score(
    options: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A text, or JSON Lines, compressed or not; - is stdin.")
    ] = "-",
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Records: the document is in this field; several are joined by line ends."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Records: its target is in this field; if repeated, the first present."),
    ] = None,
    context: Annotated[
        str, typer.Option(metavar="line|carry", help="line: score each line alone; carry: after all lines before it.")
    ] = "line",
    header: Annotated[bool, typer.Option("--header", help="Begin with a line of column names.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of columns.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="With --json: every token's nats, too.")] = False,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="Records, with --json: put it before the names of the figures.")
    ] = "",
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Records: read all of a document, whatever the run's reader left out.")
    ] = False,
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

    Of a text-to-text model lines are JSON Lines with a document and its target, and the figures are of the target as an
    answer to the document. With --json they stand behind the record's own fields.

    A CONDITION compares nats, tokens, unknown, words, chars, bytes, token_perplexity, word_perplexity and bits_per_byte
    with numbers or each other: < <= > >= == !=, + - * /, and, or, not, parentheses. Of records there are source_words
    and source_chars, too, of the document.

    With --posterior samples:K each next token has the average of the probabilities that K samples of the weights give,
    and there is nats_sd, too, a column and a quantity: the standard deviation over the samples of a line's nats.

    \b
      lmtool score RUN corpus.txt --filter 'word_perplexity < 300 and words >= 3' > kept.txt
      lmtool score RUN pairs.jsonl --field en --target de --json > scored.jsonl

    When the reader of the output goes away, as `head` does, score ends in silence with exit code 0.
    """
    _check_options(
        context,
        header=header,
        as_json=as_json,
        tokens=tokens,
        summary=summary,
        filter_=filter_,
        invert=invert,
        prefix=prefix,
    )
    from lmtool.cli.score_asked import quantities
    from lmtool.cli.score_lines import line_scoring
    from lmtool.cli.score_pairs import AskedPairs, pair_scoring
    from lmtool.conditions import parse as parse_condition
    from lmtool.posterior import parse

    samples = parse(posterior, seed)
    opened = open_about(run, given_options(options), FOREIGN)
    known = quantities(_known(opened), spread=samples is not None)
    condition = parse_condition(filter_, known) if filter_ is not None else None
    if opened.predicts == "texts":
        asked = AskedPairs(tuple(field or ()), tuple(target or ()), prefix, as_is)
        scoring = pair_scoring(opened, file, samples, asked, tokens=tokens)
    else:
        scoring = line_scoring(opened, file, samples, context, tokens=tokens)
    if summary:
        _summarise(scoring, as_json=as_json, header=header)
    elif condition:
        _filter(scoring, condition, invert=invert, as_json=as_json)
    else:
        _score(scoring, header=_column_names(spread=samples is not None) if header else None, as_json=as_json)


def _known(run: Run) -> Sequence[str]:
    """What a condition may ask for."""
    from lmtool.scoring import QUANTITIES
    from lmtool.scoring_pairs import PAIR_QUANTITIES

    return PAIR_QUANTITIES if run.predicts == "texts" else QUANTITIES


def _check_options(
    context: str,
    *,
    header: bool,
    as_json: bool,
    tokens: bool,
    summary: bool,
    filter_: str | None,
    invert: bool,
    prefix: str,
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
    if prefix and (summary or not as_json):
        raise UsageError("--prefix names fields of records; it needs --json, and has no use with --summary")
    if header and (as_json or filter_ is not None):
        raise UsageError(f"--header names columns; with {'--json' if as_json else '--filter'} there are none")


def _column_names(*, spread: bool) -> str:
    from lmtool.cli.score_asked import quantities
    from lmtool.score_output import COLUMNS

    return "\t".join(quantities(COLUMNS, spread=spread))


def _score(scoring: Scoring, *, header: str | None, as_json: bool) -> None:
    from lmtool.filters import answers
    from lmtool.score_output import columns

    written = scoring.objects if as_json else columns
    if header:
        terminal.write_now(header + "\n")
    for text in answers(scoring.pieces, lambda piece: written(scoring.scored(piece)), scoring.threads):
        terminal.write_now(text)


def _filter(scoring: Scoring, condition: Condition, *, invert: bool, as_json: bool) -> None:
    """The lines for which a condition holds, or the others; then, on stderr, how many these are."""
    from lmtool.filters import answers

    def answer(piece: object) -> tuple[str, int]:
        scores = scoring.scored(piece)
        kept = condition(lambda name: getattr(scores, name), len(scores)) ^ invert
        return scoring.objects(scores.select(kept)) if as_json else scores.kept_text(kept), len(scores)

    num_kept = num_lines = 0
    for text, lines in answers(scoring.pieces, answer, scoring.threads):
        terminal.write_now(text)
        num_kept, num_lines = num_kept + text.count("\n"), num_lines + lines
    terminal.say(f"kept {num_kept:,} of {num_lines:,} {scoring.what}")


def _summarise(scoring: Scoring, *, as_json: bool, header: bool) -> None:
    from lmtool.filters import answers
    from lmtool.score_output import Totals, summary

    every = answers(scoring.pieces, lambda piece: Totals.of(scoring.scored(piece)), scoring.threads)
    terminal.write_now(summary(sum(every, Totals()), as_json=as_json, header=header))
