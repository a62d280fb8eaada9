"""`builtin:pydoc`: the text of Python's language reference, which comes with every Python (`pydoc_data.topics`).

Its parts `#train`, `#valid` and `#test` have no topic and no paragraph in common. The text differs a little from one
version of Python to the next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lmtool.api import Record
from lmtool.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmtool.config import Config

PARTS = ("train", "valid", "test")
_RULE = frozenset("*=-~^#\"'+|. ")
_MARK = re.compile(r"[^\w\s'’-]|(?<!\w)['’-]|['’-](?!\w)")
"""Punctuation, but for what stands inside a word: `don't`, `built-in`."""


class BuiltinReader:
    """Data sets that need no file. Each topic is one document; paragraphs become lines."""

    def __init__(self, config: Config | None = None) -> None:
        pass

    def read(self, source: str) -> Iterator[Record]:
        name, _, part = source.partition("#")
        if name != "pydoc":
            raise DataError(f"no built-in text '{name}'{did_you_mean(name, ['pydoc'])}", hint="`builtin:pydoc` is one")
        if part and part not in PARTS:
            raise DataError(f"builtin:pydoc has no part '{part}'", hint=f"its parts are {', '.join(PARTS)}")
        from pydoc_data.topics import topics

        for document in documents(topics, part or None):
            yield Record(document)


def documents(topics: Mapping[str, str], part: str | None) -> Iterator[str]:
    """The topics of a part, or all, largest first; a paragraph that was in a larger topic is left out."""
    seen: set[str] = set()
    index = 0
    for _, text in sorted(topics.items(), key=lambda item: (-len(item[1]), item[0])):
        lines = [line for line in paragraphs(text) if line not in seen]
        seen.update(lines)
        if not lines:
            continue
        if part is None or part == _part(index):
            yield "\n".join(lines)
        index += 1


def _part(index: int) -> str:
    """By rank of size, so that each part has large topics and small ones: 8 of 10 for training."""
    return {4: "valid", 6: "test"}.get(index % 10, "train")


def paragraphs(text: str) -> Iterator[str]:
    """Plain lines, one a paragraph: underlines go, punctuation is set apart by single spaces, as in WikiText."""
    for block in text.split("\n\n"):
        lines = (line.strip() for line in block.splitlines())
        words = _MARK.sub(r" \g<0> ", " ".join(line for line in lines if not set(line) <= _RULE)).split()
        if words:
            yield " ".join(words)
