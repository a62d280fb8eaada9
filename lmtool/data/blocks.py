"""Text to ids in one process: lines at once, and blocks of records, the pieces that processes and threads take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from lmtool.data.counts import Counts, count
from lmtool.data.writer import smallest_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmtool.api import Record, TextTokenizer, Tokenizer

BLOCK_CHARS = 1 << 19
"""Small records are encoded together up to about so many characters; a larger one is encoded as it is."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records, joined."""

    text: str
    """Lines joined by `\\n`."""
    document_ends: tuple[int, ...]
    """For each document that ends in this block, the number of lines of the block up to its end."""
    num_lines: int


class Encoded(NamedTuple):
    """A block's ids and figures."""

    ids: np.ndarray
    """[N] in the smallest unsigned type, `eos_id` after each line."""
    counts: Counts
    document_ends: np.ndarray
    """int64: for each document that ends here, the offset in `ids` behind its last id."""


def blocks(records: Iterable[Record], size: int) -> Iterator[Block]:
    """Records in blocks of at least `size` characters, but for the last."""
    texts: list[str] = []
    ends: list[int] = []
    chars = lines = 0
    for record in records:
        texts.append(record.text)
        chars += len(record.text) + 1
        lines += record.text.count("\n") + 1
        if record.last:
            ends.append(lines)
        if chars >= size:
            yield Block("\n".join(texts), tuple(ends), lines)
            texts, ends, chars, lines = [], [], 0, 0
    if texts:
        yield Block("\n".join(texts), tuple(ends), lines)


def encode_text(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """int [N]: the ids of lines that each end with `\\n`, by the tokenizer's fastest way."""
    if takes_text(tokenizer):
        return np.asarray(cast("TextTokenizer", tokenizer).encode_text(text))
    return np.asarray(tokenizer.encode_batch(text.split("\n")[:-1]))


def takes_text(tokenizer: Tokenizer) -> bool:
    """Whether threads can encode side by side."""
    return hasattr(tokenizer, "encode_text")


def encode_block(tokenizer: Tokenizer, block: Block) -> Encoded:
    """Pure: the same in any thread and process."""
    ids = encode_text(tokenizer, block.text + "\n")
    line_ends = np.flatnonzero(ids == tokenizer.eos_id) + 1
    if len(line_ends) != block.num_lines:
        raise ValueError(f"{type(tokenizer).__name__} gave {len(line_ends)} line ends for {block.num_lines} lines")
    document_ends = line_ends[np.array(block.document_ends, np.int64) - 1]
    return Encoded(ids.astype(smallest_type(tokenizer.vocab_size)), count(tokenizer, block.text, ids), document_ends)


__all__ = ["BLOCK_CHARS", "Block", "Encoded", "blocks", "encode_block", "encode_text", "takes_text"]
