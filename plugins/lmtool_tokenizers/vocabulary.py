"""What tokenizers with a list of tokens share: counting, choosing, and the file that the list is kept in."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

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
    known = [token for token, count in counts.items() if count >= min_count and token != unk]
    known.sort()
    known.sort(key=counts.__getitem__, reverse=True)  # stable: the order of code points stays among equals
    return (EOS_TOKEN, unk, *known[: None if vocab_size is None else vocab_size - 2])


def fingerprint(name: str, contents: Any) -> str:
    """sha256 of a tokenizer's name and whatever decides its ids."""
    text = json.dumps([name, contents], ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save(folder: Path, tokens: Sequence[str], **settings: Any) -> None:
    """Write the list, one token a line, in the order of ids."""
    text = json.dumps({**settings, "tokens": list(tokens)}, ensure_ascii=False, indent=0)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> dict[str, Any]:
    """What `save` wrote: `tokens` and the settings. Raises DataError if it is missing or damaged."""
    path = folder / FILE
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        tokens = contents["tokens"]
        if (
            len(tokens) < 2
            or not all(isinstance(token, str) for token in tokens)
            or len(set(tokens[1:])) + 1 != len(tokens)
        ):
            raise ValueError("its tokens are not a list of different strings")
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    return dict(contents)
