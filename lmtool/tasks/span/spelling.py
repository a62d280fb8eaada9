"""Places of ids in the line that they are of, so that a span is spelt as it is written there.

Tokenizers may drop case, spaces and rare words; a line and its ids are laid side by side again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.api import Tokenizer

_UNKNOWN = {
    "word": re.compile(r"\S+"),
    "char": re.compile(r"."),
    "byte": re.compile(r"."),
    "subword": re.compile(r"\w+(?:'\w+)*|[^\w\s]"),
}
"""What one unknown token stands for, by the tokenizer's unit."""


def spelt(tokenizer: Tokenizer, line: str, ids: Sequence[int], start: int, stop: int) -> str:
    """The text of `ids[start:stop]`.

    Args:
        tokenizer: Whose ids these are.
        line: A text of one line.
        ids: All ids of it.
        start: The first id.
        stop: One behind the last; more than `start`.
    """
    text = tokenizer.decode(list(ids[start:stop])).strip()
    lowered, wanted = line.lower(), text.lower()
    if text and len(lowered) == len(line) and lowered.count(wanted) == 1:  # nowhere else, however it is written
        place = lowered.index(wanted)
        return line[place : place + len(wanted)]
    places = offsets(tokenizer, line, ids[:stop])
    return text if places is None else line[places[start][0] : places[stop - 1][1]].strip()


def offsets(tokenizer: Tokenizer, line: str, ids: Sequence[int]) -> list[tuple[int, int]] | None:
    """Where each of a line's first ids begins and ends in it; None if nobody can tell."""
    found: list[tuple[int, int]] = []
    place = 0
    for id in ids:
        piece = _piece(tokenizer, line, place, id)
        if piece is None:
            return None
        found.append(piece)
        place = piece[1]
    return found


def _piece(tokenizer: Tokenizer, line: str, place: int, id: int) -> tuple[int, int] | None:
    """Where an id stands, which begins at a place or behind what has left no id."""
    text = tokenizer.decode([id])
    if line.startswith(text, place):  # white space included, of characters and subwords
        return place, place + len(text)
    text = text.strip()
    while place < len(line):
        start = len(line) - len(line[place:].lstrip())
        if id != tokenizer.unk_id and line[start : start + len(text)].lower() == text.lower():
            return start, start + len(text)
        unknown = _UNKNOWN[tokenizer.unit].match(line, start)
        if unknown is None:
            return None
        encoded = tokenizer.encode(unknown.group())
        if encoded == [id]:
            return unknown.span()
        if encoded:
            return None
        place = unknown.end()
    return None


__all__ = ["offsets", "spelt"]
