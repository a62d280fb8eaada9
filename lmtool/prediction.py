"""Lines of text, or JSON Lines, to documents, and to what a classifier says of them, many at once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lmtool.data.fields import field_of, names_of_fields
from lmtool.errors import DataError, did_you_mean
from lmtool.posterior import SampledClassifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from lmtool.api import Classifier, Document, Tokenizer

AT_ONCE = 1024
"""Documents that a classifier is given at once: memory does not depend on how many there are."""
DIGITS = 6
"""Of probabilities."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Halves of pairs, which JSON can spell and UTF-8 cannot."""
MISSING = object()
"""Of a field that a record has not; null is another thing."""


class Lines(NamedTuple):
    """Some lines of the input."""

    lines: list[str]
    first: int
    """Number of the first one, from 1 on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of the input."""

    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of its record."""


class Row(NamedTuple):
    """A record of the input."""

    line: str
    """As it is written."""
    fields: dict[str, Any]
    where: str
    """What it is called in messages."""


@dataclass(frozen=True)
class Form:
    """How the input is written: a document a line, or a record a line, whose `fields`, in this order, hold the text."""

    source: str
    """Its name, for messages."""
    fields: tuple[str, ...] = ()
    """Several are joined by line ends, as readers do."""
    prepare: Callable[[str], str] = str
    """What is read of a record's text. A line of text has no parts that could be left out."""

    @property
    def is_records(self) -> bool:
        return bool(self.fields)

    def count(self, lines: Lines) -> int:
        """How many documents there are."""
        return sum(map(bool, map(str.strip, lines.lines))) if self.fields else len(lines.lines)

    def entries(self, lines: Lines) -> list[Entry]:
        """The documents; of records, blank lines are none.

        Raises:
            DataError: names the line that is no record, or lacks the text.
        """
        if not self.fields:
            return [Entry(line) for line in lines.lines]
        return [self._entry(row) for row in self.rows(lines)]

    def rows(self, lines: Lines, hint: str = "without `--field` each line is a document") -> Iterator[Row]:
        """The records; blank lines are none.

        Args:
            lines: Of JSON Lines.
            hint: What else could be meant by lines that are no records.

        Raises:
            DataError: names the line that is no record.
        """
        for number, line in enumerate(lines.lines, lines.first):
            if line.strip():
                where = f"{self.source}:{number}"
                yield Row(line, _object(line, where, hint), where)

    def text_of(self, row: Row) -> str:
        """The document of a record. Raises DataError if it lacks the text."""
        texts = [text_in(row.fields, name, row.where) for name in self.fields]
        text = texts[0] if len(texts) == 1 else "\n".join(one.removesuffix("\n") for one in texts)
        return self.prepare(text).removesuffix("\n")

    def _entry(self, row: Row) -> Entry:
        others = {name: value for name, value in row.fields.items() if name not in self.fields}
        return Entry(self.text_of(row), others)


def _object(line: str, where: str, hint: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}", f"each line must be one object; {hint}") from None
    if not isinstance(fields, dict):
        raise DataError(f"{where}: must be an object, got {line[:40]}")
    return fields


def text_in(fields: Mapping[str, Any], name: str, where: str) -> str:
    """The text that a field of a record holds, with line feeds alone as line ends. See `lmtool.data.fields`.

    Raises:
        DataError: if there is none, or it is no text.
    """
    text = field_of(fields, name, MISSING)
    if text is MISSING:
        known = names_of_fields(fields)
        raise DataError(f"{where}: no field '{name}'{did_you_mean(name, known)}; it has {', '.join(known[:8])}")
    if not isinstance(text, str):
        raise DataError(f"{where}: field '{name}' must be a string, got {text!r:.40}")
    if not text.isascii() and (half := SURROGATE.search(text)):
        raise DataError(f"{where}: field '{name}' holds \\u{ord(half[0]):04x}, half of a surrogate pair")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def in_pieces(blocks: Iterable[str], size: int = AT_ONCE) -> Iterator[Lines | None]:
    """Lines of the input as `lmtool.filters.incoming_text` gives them, at most `size`; None where no more is there for
    now."""
    first = 1
    for block in blocks:
        if not block:
            yield None
            continue
        lines = block[:-1].split("\n")
        for start in range(0, len(lines), size):
            yield Lines(lines[start : start + size], first + start)
        first += len(lines)


def as_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Document]:
    """Texts as a classifier reads them: what a dataset of these documents would hold."""
    import numpy as np

    from lmtool.api import Document
    from lmtool.data.blocks import encode_text

    if not texts:
        return []
    ids = encode_text(tokenizer, "\n".join(texts) + "\n").astype(np.int32, copy=False)
    line_ends = np.flatnonzero(ids == tokenizer.eos_id) + 1
    lines = np.cumsum([text.count("\n") + 1 for text in texts])
    if len(line_ends) != lines[-1]:
        raise ValueError(f"{type(tokenizer).__name__} gave {len(line_ends)} line ends for {lines[-1]} lines")
    ends = line_ends[lines - 1]
    return [Document(one, text) for one, text in zip(np.split(ids, ends[:-1]), texts, strict=True)]


class Doubt(NamedTuple):
    """How sure the average over samples of the weights is, in nats; see `lmtool.posterior.Predictive`."""

    entropy: float
    mutual_information: float


@dataclass(frozen=True)
class Verdict:
    """What is said of a document."""

    entry: Entry
    labels: tuple[str, ...]
    probabilities: np.ndarray
    """float64 [C]."""
    chosen: tuple[int, ...]
    """The likeliest class; where there may be several, those likely enough, the likeliest first."""
    doubt: Doubt | None = None
    """None for a single set of weights."""

    def ranked(self, k: int) -> list[int]:
        """The k likeliest classes, the first of equals first."""
        return ranked(self.probabilities)[:k]

    def pair(self, number: int) -> tuple[str, float]:
        """A class's name and its probability, with `DIGITS` digits."""
        return self.labels[number], float(f"{self.probabilities[number]:.{DIGITS}g}")


def judge(
    model: Classifier, tokenizer: Tokenizer, entries: Sequence[Entry], *, threshold: float = 0.5
) -> list[Verdict]:
    """What a classifier says of documents, in order.

    Args:
        model: Of the tokenizer's ids.
        tokenizer: Of the model.
        entries: At most `AT_ONCE` or so.
        threshold: Where a document may have any number of labels: the probability from which on it has one.

    Raises:
        DamagedModelError: if the classifier gives something that is no log-probability.
    """
    if not entries:
        return []
    import numpy as np

    from lmtool.evaluation.classes import checked

    documents = as_documents(tokenizer, [entry.text for entry in entries])
    doubts: list[Doubt | None] = [None] * len(entries)
    if isinstance(model, SampledClassifier):
        found = model.predictive(documents)
        log_probs = checked(found.log_probs)
        doubts = list(map(Doubt, found.entropy.tolist(), found.mutual_information.tolist()))
    else:
        log_probs = checked(model.log_probs(documents))
    probabilities = np.exp(np.minimum(log_probs, 0.0))
    return [
        Verdict(entry, model.labels, row, _chosen(row, threshold if model.multi_label else None), doubt)
        for entry, row, doubt in zip(entries, probabilities, doubts, strict=True)
    ]


def _chosen(probabilities: np.ndarray, threshold: float | None) -> tuple[int, ...]:
    if threshold is None:
        return (int(probabilities.argmax()),)
    return tuple(number for number in ranked(probabilities) if probabilities[number] >= threshold)


def ranked(probabilities: np.ndarray) -> list[int]:
    """Classes from the likeliest to the least likely, the first of equals first."""
    order: list[int] = (-probabilities).argsort(kind="stable").tolist()
    return order


__all__ = [
    "AT_ONCE",
    "Doubt",
    "Entry",
    "Form",
    "Lines",
    "Row",
    "Verdict",
    "as_documents",
    "in_pieces",
    "judge",
    "text_in",
]
