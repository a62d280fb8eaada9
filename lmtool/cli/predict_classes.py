"""`lmtool predict` of classifiers: the class of each document."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmtool.cli import terminal
from lmtool.cli.models import load_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmtool.api import Classifier, Tokenizer
    from lmtool.cli.predict_asked import Asked
    from lmtool.incoming import Form, Lines
    from lmtool.prediction_classes import Verdict
    from lmtool.prediction_output import Layout
    from lmtool.run import Run


@dataclass(frozen=True)
class AskedClasses:
    """The options of that name."""

    top_k: int | None
    threshold: float | None
    every: bool
    explain: bool
    gradient: bool


def classify(run: Run, asked: Asked, classes: AskedClasses) -> None:
    """A line for each document."""
    from lmtool.prediction_output import Layout

    _check_options(asked, classes)
    model = load_classifier(run, asked.samples)
    _check_model(run.path, model, classes)
    fields = asked.form.fields
    field = fields[0] if len(fields) == 1 else None
    layout = Layout(field, model.multi_label, classes.top_k, classes.every, asked.text, asked.prefix)
    threshold = 0.5 if classes.threshold is None else classes.threshold
    predictor = Predictor(model, run.tokenizer, asked.form, threshold)
    if classes.explain:
        predictor.explain(asked.file, layout, gradient=classes.gradient)
    else:
        predictor.predict(asked.file, layout.plain if asked.plain else layout.to_json)


def _check_options(asked: Asked, classes: AskedClasses) -> None:
    from lmtool.errors import UsageError

    if classes.top_k is not None and classes.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, got {classes.top_k}")
    if classes.threshold is not None and not 0 <= classes.threshold <= 1:
        raise UsageError(f"--threshold must be from 0 to 1, got {classes.threshold}")
    if classes.gradient and not classes.explain:
        raise UsageError("--gradient says how to explain", hint="give --explain, too")
    if classes.gradient and asked.samples is not None:
        what = "--gradient is of one set of weights, --posterior samples:K draws several"
        raise UsageError(what, hint="--explain alone takes any classifier")
    if asked.plain and (classes.explain or classes.every):
        raise UsageError("--plain has columns for labels and probabilities alone", hint="leave it out for JSON")


def _check_model(run: Path, model: Classifier, classes: AskedClasses) -> None:
    from lmtool.errors import UsageError
    from lmtool.explanation import Attributing

    if classes.threshold is not None and not model.multi_label:
        raise UsageError(
            f"--threshold is for documents with any number of labels; {run} gives each one",
            hint="`--top-k` gives the likeliest classes",
        )
    if classes.gradient and not isinstance(model, Attributing):
        raise UsageError(f"{run} has no gradients: it is no network", hint="--explain alone takes any classifier")


@dataclass(frozen=True)
class Predictor:
    """A run's classifier, and how its input is written."""

    model: Classifier
    tokenizer: Tokenizer
    form: Form
    threshold: float

    def verdicts(self, lines: Lines) -> list[Verdict]:
        from lmtool.prediction_classes import judge

        return judge(self.model, self.tokenizer, self.form.entries(lines), threshold=self.threshold)

    def predict(self, file: str, written: Callable[[Verdict], str]) -> None:
        """A line for each document."""
        from lmtool.data.encoding import available_cores
        from lmtool.filters import answers, incoming_text
        from lmtool.incoming import in_pieces

        def answer(lines: Lines) -> str:
            return "".join(map(written, self.verdicts(lines)))

        for text in answers(in_pieces(incoming_text(file)), answer, min(2, available_cores())):
            terminal.write_now(text)

    def explain(self, file: str, layout: Layout, *, gradient: bool) -> None:
        """A line for each document that also says why; on a terminal, the text with what matters marked."""
        from lmtool.cli.highlight import show
        from lmtool.filters import incoming_text
        from lmtool.incoming import in_pieces

        for lines in filter(None, in_pieces(incoming_text(file))):
            for verdict, explanation in self._explained(self.verdicts(lines), gradient=gradient):
                if sys.stdout.isatty():
                    show(verdict, explanation)
                else:
                    terminal.write_now(layout.to_json(verdict, explanation))

    def _explained(
        self, verdicts: list[Verdict], *, gradient: bool
    ) -> Iterator[tuple[Verdict, list[tuple[str, float]]]]:
        from lmtool.explanation import Attributing, by_gradient, by_occlusion
        from lmtool.incoming import as_documents

        documents = as_documents(self.tokenizer, [verdict.entry.text for verdict in verdicts])
        likeliest = [verdict.ranked(1) for verdict in verdicts]
        found: list[list[tuple[str, float]] | None] = [None] * len(verdicts)
        if gradient and isinstance(self.model, Attributing):
            found = list(by_gradient(self.model, self.tokenizer, documents))
        for verdict, document, classes, explanation in zip(verdicts, documents, likeliest, found, strict=True):
            if explanation is None:  # not asked for, or not all of the document is read at once
                explanation = next(by_occlusion(self.model, self.tokenizer, [document], classes))
            yield verdict, explanation
