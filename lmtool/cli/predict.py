"""`lmtool predict`: a document in, its class out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtool.cli import terminal
from lmtool.cli.models import PosteriorOption, PosteriorSeedOption, open_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool.api import Classifier, Tokenizer
    from lmtool.posterior import Samples
    from lmtool.prediction import Form, Lines, Verdict
    from lmtool.prediction_output import Layout
    from lmtool.run import Run

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A text or JSON Lines; - is stdin.")] = "-",
    field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Read JSON Lines; the text is in this field of each object.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(metavar="K", help="Give the K likeliest classes, too.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Give the probabilities of all classes, too.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Where a document may have several labels: those at least so probable. 0.5")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Give the text, too.")] = False,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Put it before the names of what is predicted.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Columns: label, tab, probability; no JSON.")] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say how much each word speaks for the class: what leaving it out changes."),
    ] = False,
    gradient: Annotated[
        bool, typer.Option("--gradient", help="With --explain: gradient times input instead; fast, of networks only.")
    ] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Of JSON Lines: read all of the text, whatever the run's reader left out.")
    ] = False,
    posterior: PosteriorOption = "mean",
    seed: PosteriorSeedOption = 0,
) -> None:
    """Predict the class of each document, in order: a line in, a line out, as soon as it is there.

    A document is a line of text. With --field, or if FILE ends in .jsonl, it is an object of JSON Lines, whose other
    fields are passed on. The answer is JSON Lines: label and probability, or labels, where there may be several.

    What the reader of the training text left out of a document, as reader.remove does of newsgroup posts, is left out
    of the text in JSON Lines, too. A line of text is read as it is.

    With --posterior samples:K probabilities are the average over K samples of the weights, and there are two fields
    more, in nats: entropy, of that average, and mutual_information, the part of it that is there because the weights
    are not known for sure.

    \b
      echo "the game went to overtime" | lmtool predict RUN
      lmtool predict RUN posts.jsonl.xz --field body --top-k 3 > predicted.jsonl

    When the reader of the output goes away, as `head` does, predict ends in silence with exit code 0.
    """
    _check_options(
        top_k, threshold, plain=plain, explain=explain, gradient=gradient, others=every or text or bool(prefix)
    )
    samples = _samples(posterior, seed, gradient=gradient)
    opened, model = open_classifier(run, samples)
    _check_model(run, model, threshold, gradient=gradient)
    from lmtool.prediction import Form
    from lmtool.prediction_output import Layout

    form = Form(file, field or _field_by_suffix(file), str if as_is else _prepared(opened))
    layout = Layout(form.field, model.multi_label, top_k, every, text, prefix)
    predictor = Predictor(model, opened.tokenizer, form, 0.5 if threshold is None else threshold)
    if explain:
        predictor.explain(file, layout, gradient=gradient)
    else:
        predictor.predict(file, layout.plain if plain else layout.to_json)


def _prepared(run: Run) -> Callable[[str], str]:
    """What the reader of the training text makes of a document's."""
    from lmtool.config import choose_inline
    from lmtool.errors import LmtoolError

    if not run.reader:
        return str
    try:
        config = choose_inline("reader", run.reader, terminal.registry(), "data.reader").config
    except LmtoolError as error:
        terminal.warn(f"all of each text is read: {error.message}")
        return str
    prepared: Callable[[str], str] = getattr(config, "prepared", str)
    return prepared


def _check_options(
    top_k: int | None, threshold: float | None, *, plain: bool, explain: bool, gradient: bool, others: bool
) -> None:
    from lmtool.errors import UsageError

    if top_k is not None and top_k < 1:
        raise UsageError(f"--top-k must be at least 1, got {top_k}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold must be from 0 to 1, got {threshold}")
    if gradient and not explain:
        raise UsageError("--gradient says how to explain", hint="give --explain, too")
    if plain and (explain or others):
        raise UsageError("--plain has columns for labels and probabilities alone", hint="leave it out for JSON")


def _samples(posterior: str, seed: int, *, gradient: bool) -> Samples | None:
    from lmtool.errors import UsageError
    from lmtool.posterior import parse

    samples = parse(posterior, seed)
    if samples is not None and gradient:
        what = "--gradient is of one set of weights, --posterior samples:K draws several"
        raise UsageError(what, hint="--explain alone takes any classifier")
    return samples


def _check_model(run: Path, model: Classifier, threshold: float | None, *, gradient: bool) -> None:
    from lmtool.errors import UsageError
    from lmtool.explanation import Attributing

    if threshold is not None and not model.multi_label:
        raise UsageError(
            f"--threshold is for documents with any number of labels; {run} gives each one",
            hint="`--top-k` gives the likeliest classes",
        )
    if gradient and not isinstance(model, Attributing):
        raise UsageError(f"{run} has no gradients: it is no network", hint="--explain alone takes any classifier")


def _field_by_suffix(file: str) -> str | None:
    from lmtool.data.sources import format_suffix

    return "text" if format_suffix(file) in (".jsonl", ".ndjson") else None


@dataclass(frozen=True)
class Predictor:
    """A run's classifier, and how its input is written."""

    model: Classifier
    tokenizer: Tokenizer
    form: Form
    threshold: float

    def verdicts(self, lines: Lines) -> list[Verdict]:
        from lmtool.prediction import judge

        return judge(self.model, self.tokenizer, self.form.entries(lines), threshold=self.threshold)

    def predict(self, file: str, written: Callable[[Verdict], str]) -> None:
        """A line for each document."""
        from lmtool.data.encoding import available_cores
        from lmtool.filters import answers, incoming_text
        from lmtool.prediction import in_pieces

        def answer(lines: Lines) -> str:
            return "".join(map(written, self.verdicts(lines)))

        for text in answers(in_pieces(incoming_text(file)), answer, min(2, available_cores())):
            _write(text)

    def explain(self, file: str, layout: Layout, *, gradient: bool) -> None:
        """A line for each document that also says why; on a terminal, the text with what matters marked."""
        from lmtool.cli.highlight import show
        from lmtool.filters import incoming_text
        from lmtool.prediction import in_pieces

        for lines in filter(None, in_pieces(incoming_text(file))):
            for verdict, explanation in self._explained(self.verdicts(lines), gradient=gradient):
                if sys.stdout.isatty():
                    show(verdict, explanation)
                else:
                    _write(layout.to_json(verdict, explanation))

    def _explained(
        self, verdicts: list[Verdict], *, gradient: bool
    ) -> Iterator[tuple[Verdict, list[tuple[str, float]]]]:
        from lmtool.explanation import Attributing, by_gradient, by_occlusion
        from lmtool.prediction import as_documents

        documents = as_documents(self.tokenizer, [verdict.entry.text for verdict in verdicts])
        likeliest = [verdict.ranked(1) for verdict in verdicts]
        found: list[list[tuple[str, float]] | None] = [None] * len(verdicts)
        if gradient and isinstance(self.model, Attributing):
            found = list(by_gradient(self.model, self.tokenizer, documents))
        for verdict, document, classes, explanation in zip(verdicts, documents, likeliest, found, strict=True):
            if explanation is None:  # not asked for, or not all of the document is read at once
                explanation = next(by_occlusion(self.model, self.tokenizer, [document], classes))
            yield verdict, explanation


def _write(text: str) -> None:
    """Whole lines at once, and now: somebody may be waiting for them."""
    sys.stdout.write(text)
    sys.stdout.flush()
