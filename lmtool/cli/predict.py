"""`lmtool predict`: a document in, its class or an answer out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtool.cli.forms import fields_of_reader, prepared_by_reader
from lmtool.cli.given import given_options, open_about
from lmtool.cli.models import PosteriorOption, PosteriorSeedOption
from lmtool.cli.predict_asked import Asked

if TYPE_CHECKING:
    from lmtool.cli.given import Foreign
    from lmtool.incoming import Form
    from lmtool.run import Run

app = typer.Typer(rich_markup_mode=None, add_completion=False)

OF_CLASSES = ("every", "threshold", "explain", "gradient")
OF_TEXTS = (
    *("beam", "n_best", "length_penalty", "coverage_penalty", "sample", "temperature", "top_p"),
    *("min_length", "max_length", "no_repeat_ngram", "replace_unknown", "begin", "begin_field", "scores"),
)
FOREIGN: Foreign = {"texts": (OF_CLASSES, "classes"), "classes": (OF_TEXTS, "texts")}
OF_DECODING = (*OF_TEXTS[:11], "top_k")
"""Those that are settings of `evaluation.decoding`."""


@app.command()
def predict(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A text or JSON Lines; - is stdin.")] = "-",
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Read JSON Lines; the text is in this field. Several are joined by line ends."
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Give the text, too.")] = False,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Put it before the names of what is predicted.")] = "",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="JSON Lines, the default but for answers to lines of text."),
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="No JSON. Classes: label, tab, probability. Texts: the answer alone.")
    ] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Of JSON Lines: read all of the text, whatever the run's reader left out.")
    ] = False,
    top_k: Annotated[
        int | None,
        typer.Option(metavar="K", help="Classes: give the K likeliest, too. Texts, with --sample: of the K likeliest."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Classes: give the probabilities of all, too.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Classes, where there may be several: those at least so probable. 0.5")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Classes: how much each word speaks for it: what leaving it out changes."),
    ] = False,
    gradient: Annotated[
        bool, typer.Option("--gradient", help="With --explain: gradient times input instead; fast, of networks only.")
    ] = False,
    posterior: PosteriorOption = "mean",
    seed: PosteriorSeedOption = 0,
    beam: Annotated[int | None, typer.Option(help="Texts: hypotheses kept at each step; 1 is greedy search.")] = None,
    n_best: Annotated[int | None, typer.Option(metavar="K", help="Texts: the K best answers, with scores.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Texts: α, the power of the length that scores are divided by.")
    ] = None,
    coverage_penalty: Annotated[
        float | None, typer.Option(help="Texts: β, favours answers that attend to all of the document.")
    ] = None,
    sample: Annotated[bool | None, typer.Option("--sample", help="Texts: draw answers, by --seed.")] = None,
    temperature: Annotated[float | None, typer.Option(help="With --sample: above 1 more varied, below 1 less.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="With --sample: from the likeliest tokens with this share alone.")
    ] = None,
    min_length: Annotated[int | None, typer.Option(help="Texts: tokens before an answer may end.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Texts: tokens after which an answer is cut off.")] = None,
    no_repeat_ngram: Annotated[
        int | None, typer.Option(metavar="N", help="Texts: no sequence of N tokens twice in an answer.")
    ] = None,
    replace_unknown: Annotated[
        bool | None,
        typer.Option("--replace-unknown/--keep-unknown", help="Texts: unknown words become words of the document."),
    ] = None,
    begin: Annotated[str, typer.Option(metavar="TEXT", help="Texts: answers begin with it.")] = "",
    begin_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Texts: they begin with what this field of a record holds.")
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Texts: give score and log-probability, too.")] = False,
) -> None:
    """Predict the class of each document, or answer it with a text: a line in, a line out, as soon as it is there.

    A document is a line of text. With --field, or if FILE ends in .jsonl, it is an object of JSON Lines, whose other
    fields are passed on. Of classifiers the answer is JSON Lines: label and probability, or labels, where there may be
    several. Models that answer texts with texts, as translators do, give lines for lines, and JSON Lines for JSON
    Lines.

    What the reader of the training text left out of a document, as reader.remove does of newsgroup posts, is left out
    of the text in JSON Lines, too. A line of text is read as it is.

    With --posterior samples:K probabilities are the average over K samples of the weights. Of classifiers there are two
    fields more, in nats: entropy, of that average, and mutual_information, the part of it that is there because the
    weights are not known for sure.

    \b
      echo "the game went to overtime" | lmtool predict RUN
      lmtool predict RUN posts.jsonl.xz --field body --top-k 3 > predicted.jsonl
      lmtool predict RUN --beam 1 < english.txt > german.txt

    When the reader of the output goes away, as `head` does, predict ends in silence with exit code 0.
    """
    from lmtool.cli import predict_classes, predict_texts
    from lmtool.errors import UsageError
    from lmtool.posterior import parse

    given = given_options(context)
    if plain and (as_json or text or prefix):
        name = "--json" if as_json else "--text" if text else "--prefix"
        raise UsageError(f"--plain has no use for {name}: it is no JSON", hint="leave --plain out for JSON")
    opened = open_about(run, given, FOREIGN)
    form, samples = _form(opened, file, field, as_is=as_is), parse(posterior, seed)
    asked = Asked(file, form, text, prefix, samples, as_json=as_json, plain=plain, seed=seed)
    if opened.predicts == "texts":
        decoding = {name: context.params[name] for name in OF_DECODING if name in given}
        asked_texts = predict_texts.AskedTexts(decoding, begin, begin_field, n_best=n_best is not None, scores=scores)
        predict_texts.answer(opened, asked, asked_texts)
        return
    asked_classes = predict_classes.AskedClasses(top_k, threshold, every=every, explain=explain, gradient=gradient)
    predict_classes.classify(opened, asked, asked_classes)


def _form(run: Run, file: str, field: list[str] | None, *, as_is: bool) -> Form:
    """How the input is written: JSON Lines where a field or the file's name says so."""
    from lmtool.data.sources import format_suffix
    from lmtool.incoming import Form

    fields = tuple(field or ())
    if not fields and format_suffix(file) in (".jsonl", ".ndjson"):
        fields = fields_of_reader(run)
    return Form(file, fields, str if as_is else prepared_by_reader(run))
