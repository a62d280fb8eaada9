"""Lines of text, or JSON Lines, to documents, as commands take them that answer each at once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lmtool.data.fields import field_of, names_of_fields
from lmtool.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lmtool.api import Document, Tokenizer

AT_ONCE = 1024
"""Documents that a model is given at once: memory does not depend on how many there are."""

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
    """Texts as a model reads them: what a dataset of these documents would hold."""
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


__all__ = ["AT_ONCE", "MISSING", "SURROGATE", "Entry", "Form", "Lines", "Row", "as_documents", "in_pieces", "text_in"]
