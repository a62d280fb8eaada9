"""What tokenizers with a list of tokens share: counting, choosing, and the file that the list is kept in."""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    return choose_counted(list(counts), np.array(list(counts.values()), np.int64), unk, vocab_size, min_count)


def choose_counted(
    tokens: Sequence[str], counts: np.ndarray, unk: str, vocab_size: int | None, min_count: int
) -> tuple[str, ...]:
    """As `choose`, from tokens and how often each occurs, int64 [M]."""
    room = len(tokens) if vocab_size is None else max(0, vocab_size - 2)
    by_count = np.argsort(-counts, kind="stable")
    by_count = by_count[: np.count_nonzero(counts >= min_count)]
    known: list[str] = []
    for group in np.split(by_count, np.flatnonzero(np.diff(counts[by_count])) + 1):  # of one count each
        if len(known) >= room:
            break
        known += sorted([tokens[i] for i in group.tolist() if tokens[i] != unk])
    return (EOS_TOKEN, unk, *known[:room])


def fingerprint(name: str, contents: Any) -> str:
    """sha256 of a tokenizer's name and whatever decides its ids."""
    text = json.dumps([name, contents], ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save(folder: Path, tokens: Sequence[str], **settings: Any) -> None:
    """Write the list, one token a line, in the order of ids."""
    # As `json.dumps(…, indent=0)` has it, which takes half a second for a large vocabulary.
    head = json.dumps({**settings, "tokens": []}, ensure_ascii=False, indent=0).removesuffix("[]\n}")
    body = ",\n".join(map(encode_basestring, tokens))
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
