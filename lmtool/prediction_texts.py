"""Lines of text, or JSON Lines, to what a text-to-text model answers, and that to lines of output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lmtool.data.fields import field_of
from lmtool.errors import DataError
from lmtool.incoming import MISSING, as_documents, in_pieces, text_in
from lmtool.prediction_classes import DIGITS
from lmtool.prediction_output import with_predicted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from lmtool.api import Answerer, Hypothesis
    from lmtool.evaluation.answers import AnswerText
    from lmtool.incoming import Entry, Form, Lines
    from lmtool.settings import DecodingConfig

AT_ONCE = 1024
"""Documents that a model answers at once: memory does not depend on how many there are."""


class Numbered(NamedTuple):
    """Some lines of the input."""

    lines: Lines
    first: int
    """Number of their first document, from 0 on: samples depend on it, and not on how the input came."""


def numbered(blocks: Iterable[str], form: Form) -> Iterator[Numbered | None]:
    """Lines of the input as `lmtool.filters.incoming_text` gives them; None where no more is there for now."""
    first = 0
    for lines in in_pieces(blocks, AT_ONCE):
        if lines is None:
            yield None
            continue
        yield Numbered(lines, first)
        first += form.count(lines)


@dataclass(frozen=True)
class Answer:
    """What is answered to a document."""

    number: int
    """Of the document, from 1 on."""
    entry: Entry
    texts: tuple[str, ...]
    """One line each, the best first."""
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True)
class Begin:
    """What answers begin with: the same for all, or what a field of each record says."""

    text: str = ""
    field: str | None = None

    def is_known_to(self, entry: Entry) -> bool:
        """Whether a record says something of it, be it null."""
        return self.field is not None and field_of(entry.fields, self.field, MISSING) is not MISSING

    def of(self, entry: Entry) -> str:
        """Raises DataError if what the record has there is no text; null and nothing at all stand for none."""
        if self.field is None or field_of(entry.fields, self.field) is None:
            return self.text
        return text_in(entry.fields, self.field, "a record")


@dataclass(frozen=True)
class Answering:
    """A text-to-text model, and how it is asked."""

    model: Answerer
    spelled: AnswerText
    decoding: DecodingConfig
    begin: Begin = field(default_factory=Begin)
    seed: int = 0
    """Of samples."""

    def answers(self, entries: Sequence[Entry], first: int = 0) -> list[Answer]:
        """The answers to documents, in order.

        Args:
            entries: At most `AT_ONCE` or so.
            first: Number of the first one, from 0 on.

        Raises:
            DataError: if an answer is to begin with more than a line.
            DamagedModelError: if the model has none.
        """
        from lmtool.evaluation.texts import checked_answers

        if not entries:
            return []
        documents = as_documents(self.spelled.tokenizer, [entry.text for entry in entries])
        begins = [self.begin.of(entry) for entry in entries]
        prefixes = [self._ids(text) for text in begins] if any(begins) else None
        found = self.model.generate(documents, self.decoding, prefixes=prefixes, seed=self.seed, first=first)
        found = checked_answers(found)
        return [
            Answer(number, entry, tuple(self.spelled(one, document) for one in some), tuple(some))
            for number, (entry, document, some) in enumerate(zip(entries, documents, found, strict=True), first + 1)
        ]

    def _ids(self, text: str) -> np.ndarray:
        import numpy as np

        if "\n" in text:
            raise DataError(f"an answer is one line, and cannot begin with {text!r:.60}", "leave its line ends out")
        return np.array(self.spelled.target_tokenizer.encode(text), np.int32)


@dataclass(frozen=True)
class TextLayout:
    """What of an answer is written."""

    n_best: bool = False
    """All answers of a document, not the best one alone."""
    scores: bool = False
    field: str | None = None
    """Where the text stands in a record of the input; None for `text`: of lines, or where it is of several fields."""
    text: bool = False
    prefix: str = ""
    """Before the names of what is predicted, which a record's own fields may have."""

    def to_json(self, answer: Answer) -> str:
        """One object: the record's own fields, then the answer.

        Raises:
            DataError: if a field has the name of something that is predicted.
        """
        own = {**answer.entry.fields, **({self.field or "text": answer.entry.text} if self.text else {})}
        return with_predicted(own, self._predicted(answer), self.prefix)

    def _predicted(self, answer: Answer) -> dict[str, Any]:
        found = [
            {"answer": text, **(scores_of(hypothesis) if self.scores or self.n_best else {})}
            for text, hypothesis in zip(answer.texts, answer.hypotheses, strict=True)
        ]
        return {"n_best": found} if self.n_best else found[0]

    def plain(self, answer: Answer) -> str:
        """The answer, a line; of several, each with the number of its document before it; before that, scores.

        Columns are separated by tabs, and the answer, which may hold some, is the last.
        """
        shown = len(answer.texts) if self.n_best else 1
        lines = []
        for text, hypothesis in zip(answer.texts[:shown], answer.hypotheses[:shown], strict=True):
            number = [str(answer.number)] if self.n_best else []
            scores = [f"{value:.{DIGITS}g}" for value in scores_of(hypothesis).values()] if self.scores else []
            lines.append("\t".join([*number, *scores, text]) + "\n")
        return "".join(lines)


def scores_of(hypothesis: Hypothesis) -> dict[str, float]:
    """`score`, by which answers are ranked, and `log_prob`, in nats."""
    return {name: float(f"{getattr(hypothesis, name):.{DIGITS}g}") for name in ("score", "log_prob")}


__all__ = ["AT_ONCE", "Answer", "Answering", "Begin", "Numbered", "TextLayout", "numbered", "scores_of"]
