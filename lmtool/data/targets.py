"""What documents are to be answered with: fields of their records to texts, of which training learns the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmtool.api import Record
from lmtool.data.fields import field_of, names_of_fields
from lmtool.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_LINE_ENDS = re.compile("[\r\n]+")
_CURE = "`--target FIELD` or data.target names the field, or several, of which the first that a record has counts"


@dataclass(frozen=True)
class TargetFields:
    """The fields of a record that may hold its targets; the first that it has counts. See `lmtool.data.fields`."""

    names: tuple[str, ...]

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> TargetFields:
        """Raises KeyError or TypeError if it is not what `to_json` gave."""
        return cls(tuple(map(str, entry["fields"])))

    def to_json(self) -> dict[str, Any]:
        return {"fields": list(self.names)}

    def texts(self, fields: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """The targets of a document, at least one; each is one line, without white space at its ends.

        Args:
            fields: Of its record.
            where: What it is called in messages.

        Raises:
            DataError: if there is none, or one is empty or no text.
        """
        found = self._values(fields, where)
        if not all(lines := [_line(*one) for one in found]):
            raise _empty(found[lines.index("")][1])
        return tuple(lines)

    def first(self, fields: Mapping[str, Any], where: str) -> str:
        """The first target of a document, as `texts` gives it, but that it may be empty."""
        return _line(*self._values(fields, where)[0])

    def _values(self, fields: Mapping[str, Any], where: str) -> list[tuple[Any, str]]:
        """The targets as they stand in a record, at least one, and what each is called in messages."""
        field = next((name for name in self.names if field_of(fields, name) is not None), None)
        if field is None:
            raise self._missing(fields, where)
        value = field_of(fields, field)
        if isinstance(value, Mapping) and value and "text" not in value:
            inside = ", ".join(f"{field}.{name}" for name in names_of_fields(value)[:12])
            raise DataError(f"{where}: field '{field}' is an object, not a target", f"a dot leads into it: {inside}")
        found = texts_of(value)
        if not found:
            hint = "leave such documents out, or write down what is to be answered, if only `unanswerable`"
            raise DataError(f"{where}: the list of targets in field '{field}' is empty", hint)
        return [(one, f"{where}: field '{field}'") for one in found]

    def of(self, records: Iterable[Record], source: str) -> Iterator[tuple[str, ...]]:
        """The targets of each document of a source, as `texts` gives them.

        Args:
            records: Of the source.
            source: What it is called in messages.
        """
        for number, record in enumerate((record for record in records if record.last), 1):
            yield self.texts(record.fields, f"document {number} of {source}")

    def both(self, records: Iterable[Record], source: str) -> Iterator[Record]:
        """Each document and, behind it, its first target: what a tokenizer of both learns from."""
        number = 0
        for record in records:
            yield record
            if record.last:
                number += 1
                yield Record(self.texts(record.fields, f"document {number} of {source}")[0])

    def _missing(self, fields: Mapping[str, Any], where: str) -> DataError:
        names = "' or '".join(self.names)
        known = names_of_fields(fields)
        message = f"{where} has no target in a field '{names}'{did_you_mean(self.names[0], known)}"
        if not fields:
            hint = "what reads this text knows no fields; targets are in JSON Lines, CSV, …, or `parallel:FILE,FILE`"
            return DataError(message, hint)
        return DataError(message, hint=f"its fields are {', '.join(known[:12])}; {_CURE}")


def texts_of(value: Any) -> list[Any]:
    """The texts that a field holds: itself or, of a list, each entry. An object stands for what its `text` is.

    >>> texts_of("a"), texts_of(["a", "b"]), texts_of([{"text": "a", "answer_start": 3}])
    (['a'], ['a', 'b'], ['a'])
    >>> texts_of({"text": ["a", "b"], "answer_start": [3, 5]})
    ['a', 'b']
    """
    value = _text_in(value)
    return [_text_in(one) for one in value] if isinstance(value, (list, tuple)) else [value]


def _text_in(value: Any) -> Any:
    return value["text"] if isinstance(value, Mapping) and "text" in value else value


def _line(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: a target must be a text, got {value!r:.40}", hint="write it as a string")
    line = _LINE_ENDS.sub(" ", value).strip()
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: a target holds half of a surrogate pair: {error}", hint="leave it out") from None
    return line


def _empty(where: str) -> DataError:
    return DataError(f"{where}: a target is empty", hint="leave such documents out, or write down what is answered")


def without_targets(path: Path) -> DataError:
    """The error for a dataset that was made without targets where some are wanted."""
    return DataError(f"{path} has no targets", "`lmtool tokenize --target FIELD …` or data.target makes it with them")


__all__ = ["TargetFields", "texts_of", "without_targets"]
