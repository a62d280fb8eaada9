"""Records to ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.data.counts import Counts, count
from lmtool.data.writer import smallest_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmtool.api import Record, Tokenizer


def encode(tokenizer: Tokenizer, records: Iterable[Record]) -> Iterator[tuple[Record, np.ndarray, Counts]]:
    """Each record with its ids, in the smallest type, and its counts."""
    for record in records:
        yield record, *encode_text(tokenizer, record.text)


def encode_text(tokenizer: Tokenizer, text: str) -> tuple[np.ndarray, Counts]:
    lines = text.split("\n")
    ids = tokenizer.encode_batch(lines)
    return ids.astype(smallest_type(tokenizer.vocab_size)), count(tokenizer, lines, ids)


__all__ = ["encode", "encode_text"]
