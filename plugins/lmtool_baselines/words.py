"""A text's words and sentences, as places in it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+(?:['’][^\W{_CJK}]+)*|[^\w\s]|_")
_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|$)|[。！？]+[”’」』）\"]*|\n\s*\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“‘])(?:\w|(?:\w+\.)+\w+|Mrs?|Dr|Prof|St|Jr|Sr|vs|etc|cf|al|Vol|Inc|approx)\.$"
)
_NUMBER = re.compile(r"(?:^|[\s(\[\"'“‘])[Nn]o\.$")
_LONGEST = 20
"""Characters before a point that may be an abbreviation."""


class Word(NamedTuple):
    """A word of letters and digits, a single Chinese or Japanese character, or a single sign."""

    key: str
    """In lower case: what words are compared by."""
    start: int
    stop: int

    @property
    def is_sign(self) -> bool:
        return not self.key[0].isalnum()


def words(text: str) -> list[Word]:
    """
    >>> [word.key for word in words("Levi's: 3 为主。")]
    ["levi's", ':', '3', '为', '主', '。']
    """
    return [Word(found.group().lower(), *found.span()) for found in _WORD.finditer(text)]


def sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence begins and ends, white space around it left out.

    A sentence ends with `.`, `!` or `?` before white space, with `。`, `！` or `？` anywhere, and before an empty line.
    The point of a single letter or of a common abbreviation ends none, unless nothing follows; nor does that of "no."
    before a digit.

    >>> text = "By J. Doe, e.g. in no. 31. He said no. Half of them!"
    >>> [text[start:stop] for start, stop in sentences(text)]
    ['By J. Doe, e.g. in no. 31.', 'He said no.', 'Half of them!']
    """
    ends = [found.end() for found in _END.finditer(text) if not _is_abbreviation(text, found)]
    bounds = [0, *ends, len(text)]
    found = []
    for start, stop in pairwise(bounds):
        piece = text[start:stop]
        if stripped := piece.strip():
            first = start + piece.index(stripped[0])
            found.append((first, first + len(stripped)))
    return found


def _is_abbreviation(text: str, end: re.Match[str]) -> bool:
    if end.group() != ".":
        return False
    before, after = text[max(0, end.start() - _LONGEST) : end.end()], text[end.end() : end.end() + _LONGEST].lstrip()
    return bool(_ABBREVIATION.search(before) or (_NUMBER.search(before) and after[:1].isdigit()))


__all__ = ["Word", "sentences", "words"]
