"""Parts of newsgroup posts that tell the group by other things than what the post says: headers, footers, quotes.

The rules are those of scikit-learn (`sklearn.datasets._twenty_newsgroups`, BSD-3-Clause), so that figures can be
compared with those of its documentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_QUOTE = re.compile(r"(writes in|writes:|wrote:|says:|said:|^In article|^Quoted from|^\||^>)")


def strip(text: str, parts: Collection[str]) -> str:
    """A post without some parts, which are removed in scikit-learn's order: `headers`, `footers`, `quotes`."""
    if "headers" in parts:
        text = without_header(text)
    if "footers" in parts:
        text = without_footer(text)
    return without_quotes(text) if "quotes" in parts else text


def without_header(text: str) -> str:
    """What follows the first empty line.

    >>> without_header("From: me\\nSubject: x\\n\\nhello\\n\\nworld")
    'hello\\n\\nworld'
    """
    return text.partition("\n\n")[2]


def without_footer(text: str) -> str:
    """What stands before the last line that is empty or of hyphens; everything, if that is the first line.

    >>> without_footer("hello\\nworld\\n--\\nme\\n")
    'hello\\nworld'
    """
    lines = text.strip().split("\n")
    number = next((n for n in reversed(range(len(lines))) if not lines[n].strip().strip("-")), 0)
    return "\n".join(lines[:number]) if number else text


def without_quotes(text: str) -> str:
    """What is left without lines that are quoted or announce a quotation.

    >>> without_quotes("he writes:\\n> yes\\nno")
    'no'
    """
    return "\n".join(line for line in text.split("\n") if not _QUOTE.search(line))


__all__ = ["strip", "without_footer", "without_header", "without_quotes"]
