"""How tokens are written in an ARPA file, where white space separates words and three names mean something.

`<s>` is the start of a line, `</s>` its end and `<unk>` the unknown word, in any case. A token that cannot stand there
as it is, since it is empty, holds white space or is named like one of the three, is written as `<text:…>`, its bytes
that are no ASCII letters or digits as in a URL: a space is `<text:%20>`. Two tokens that are printed alike, as a space
and U+2581 by `char`, are told apart by their ids: the second one is `<id:17>`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from lmtool.api import Tokenizer

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What a space is in a file of characters."""

_NOT_AS_IT_IS = re.compile(r"|.*[\0\t\n\v\f\r ].*|<s>|</s>|<unk>|<(text|id):.*>", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"<text:(.*)>")


def names(tokenizer: Tokenizer) -> list[str]:
    """What each id of a tokenizer is called, all different; that of `eos_id` is `</s>`, that of `unk_id` `<unk>`."""
    tokens = tokenizer.tokens(range(tokenizer.vocab_size))
    found = [quoted(token) for token in tokens]
    found[tokenizer.eos_id] = END
    if tokenizer.unk_id is not None:
        found[tokenizer.unk_id] = UNKNOWN
    first = dict(zip(reversed(found), reversed(range(len(found))), strict=True))
    if len(first) < len(found):
        found = [name if first[name] == i else f"<id:{i}>" for i, name in enumerate(found)]
    return found


def quoted(token: str) -> str:
    """A token as an ARPA file can hold it.

    >>> quoted("ab"), quoted("a b"), quoted("<S>")
    ('ab', '<text:a%20b>', '<text:%3CS%3E>')
    """
    return f"<text:{quote(token, safe='')}>" if _NOT_AS_IT_IS.fullmatch(token) else token


def unquoted(name: str) -> str:
    """What `quoted` was given.

    >>> unquoted("<text:a%20b>"), unquoted("<text:%20")
    ('a b', '<text:%20')
    """
    match = _QUOTED.fullmatch(name)
    return unquote(match[1]) if match else name
