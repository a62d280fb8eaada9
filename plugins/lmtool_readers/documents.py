"""What all readers do whose sources give whole documents: the text is cleaned, checked, and given in pieces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lmtool.api import Record
from lmtool.data.fields import field_of, names_of_fields
from lmtool.data.text import in_pieces
from lmtool.errors import DataError, did_you_mean
from lmtool_readers.newsgroups import strip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_SURROGATE = re.compile("[\ud800-\udfff]")
_USUAL = ("source", "document", "sentence", "content", "question", "context")
"""What the field of the text is often called."""
_MISSING = object()
_SHOWN, _LONGEST = 8, 30
"""Names in a message, and characters of each: what is no table has whole lines in their place."""


def document(
    text: str, fields: Mapping[str, Any], *, remove: Collection[str] = (), checked: str | None = None
) -> Iterator[Record]:
    """The records of one document.

    Args:
        text: As the source has it; whatever line ends.
        fields: What else the source says of it.
        remove: Parts of a newsgroup post that are left out.
        checked: Where the text stands, if it may hold halves of surrogate pairs, which UTF-8 cannot spell.

    Raises:
        DataError: if it does hold one.
    """
    if checked and not text.isascii() and (half := _SURROGATE.search(text)):
        raise DataError(f"{checked} holds \\u{ord(half[0]):04x}, half of a surrogate pair", hint="leave it out")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if remove:
        text = strip(text, remove)
    for piece, last in in_pieces(text.removesuffix("\n")):
        yield Record(piece, last, fields)


def text_of(fields: Mapping[str, Any], names: Sequence[str], where: str, *, what: str = "field") -> str:
    """The text of a document: one field of its record, or several, joined by line ends. See `lmtool.data.fields`.

    Args:
        fields: Of the record.
        names: Of those that hold the text.
        where: What the record is called in messages.
        what: And what a field is.

    Raises:
        DataError: if one is missing or no text.
    """
    texts = [_text(fields, name, where, what) for name in names]
    return texts[0] if len(texts) == 1 else "\n".join(text.removesuffix("\n").removesuffix("\r") for text in texts)


def _text(fields: Mapping[str, Any], name: str, where: str, what: str) -> str:
    text = field_of(fields, name, _MISSING)
    if text is _MISSING:
        raise no_field(where, name, names_of_fields(fields), what=what)
    if not isinstance(text, str):
        raise DataError(f"{where}: {what} '{name}' must be a string, got {text!r:.40}")
    return text


def no_field(
    where: str, field: str, names: Sequence[str], *, what: str = "field", setting: str = "text_field"
) -> DataError:
    """The error for a source that lacks the field, or column, of the text."""
    short = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in names[:_SHOWN]]
    shown = ", ".join(short) + (", …" if len(names) > _SHOWN else "")
    usual = next((name for name in _USUAL if name in names), None)
    hint = f"it has {shown or f'no {what}'}; `--set data.reader.{setting}={usual or 'NAME'}` sets another"
    return DataError(f"{where}: no {what} '{field}'{'' if usual else did_you_mean(field, list(names))}", hint)


__all__ = ["document", "no_field", "text_of"]
