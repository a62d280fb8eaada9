"""What tokenizers with a list of tokens share: counting, choosing, and the file that the list is kept in."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from json.encoder import encode_basestring, encode_basestring_ascii
from operator import neg
from typing import TYPE_CHECKING, Any

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

EOS_ID = 0
UNK_ID = 1
EOS_TOKEN = "<eos>"
"""How the end of a line is printed. A text's own `<eos>` is an ordinary word with another id."""

FILE = "vocabulary.json"


def batches(lines: Iterable[str], size: int = 1 << 16) -> Iterator[list[str]]:
    """Lines in lists of about `size` characters, so that the work on each is done by C loops."""
    batch: list[str] = []
    room = size
    for line in lines:
        batch.append(line)
        room -= len(line) + 1
        if room <= 0:
            yield batch
            batch, room = [], size
    if batch:
        yield batch


def choose(counts: Mapping[str, int], unk: str, vocab_size: int | None, min_count: int) -> tuple[str, ...]:
    """Tokens by id: end of line, unknown, then the most frequent; ties by code points.

    Args:
        counts: Occurrences in the training text; those of `unk` itself do not matter, it is always kept.
        unk: The unknown token.
        vocab_size: Tokens to keep, the two specials included; None for all.
        min_count: Rarer tokens are left out.
    """
    known = sorted(counts)
    known.sort(key=counts.__getitem__, reverse=True)  # stable: the order of code points stays among equals
    return choose_sorted(known, [counts[token] for token in known], unk, vocab_size, min_count)


def choose_sorted(
    tokens: Sequence[str], counts: Sequence[int], unk: str, vocab_size: int | None, min_count: int
) -> tuple[str, ...]:
    """As `choose`, from tokens that are sorted already, the most frequent first, and how often each occurs."""
    enough = bisect_right(counts, -min_count, key=neg)
    known = [token for token in tokens[:enough] if token != unk]
    return (EOS_TOKEN, unk, *known[: None if vocab_size is None else vocab_size - 2])


def fingerprint(name: str, contents: Any) -> str:
    """sha256 of a tokenizer's name and whatever decides its ids."""
    text = json.dumps([name, contents], ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of_tokens(name: str, tokens: Sequence[str], *settings: Any) -> str:
    """`fingerprint(name, [*settings, tokens])`, or `fingerprint(name, tokens)` without settings, faster."""
    text = json.dumps([name, [*settings, []] if settings else []])
    head, _, tail = text.rpartition("[]")
    listed = _listed(tokens, ", ", encode_basestring_ascii)
    return hashlib.sha256(f"{head}[{listed}]{tail}".encode()).hexdigest()


def _listed(tokens: Sequence[str], between: str, as_json: Callable[[str], str]) -> str:
    """What stands in a list of JSON."""
    text = " ".join(tokens)
    if text.count(" ") != len(tokens) - 1:  # a token holds a space
        return between.join(map(as_json, tokens))
    # Half a million of calls are saved: nothing in JSON's spelling of other characters is a space.
    return as_json(text).replace(" ", f'"{between}"')


def save(folder: Path, tokens: Sequence[str], **settings: Any) -> None:
    """Write the list, one token a line, in the order of ids."""
    # As `json.dumps(…, indent=0)` has it, which takes half a second for a large vocabulary.
    head = json.dumps({**settings, "tokens": []}, ensure_ascii=False, indent=0).removesuffix("[]\n}")
    body = _listed(tokens, ",\n", encode_basestring)
    (folder / FILE).write_text(f"{head}[\n{body}\n]\n}}\n", encoding="utf-8")


def load(folder: Path) -> dict[str, Any]:
    """What `save` wrote: `tokens` and the settings. Raises DataError if it is missing or damaged."""
    path = folder / FILE
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        tokens = contents["tokens"]
        if len(tokens) < 2 or set(map(type, tokens)) != {str} or len(set(tokens[1:])) + 1 != len(tokens):
            raise ValueError("its tokens are not a list of different strings")
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    return dict(contents)
