"""Documents as weighted features: which there are, learned from the training text, and how a document's are found."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_bag import reading_kernels as kernels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lmtool.api import Document
    from lmtool_bag.config import BagConfig

BLOCK = 1 << 18
"""Bytes of text, or tokens, that are read at once."""


@dataclass(frozen=True)
class Bags:
    """Documents as the sparse rows of a matrix: document i has entries `starts[i]` to `starts[i + 1]`."""

    rows: np.ndarray
    """int32 [N], features."""
    weights: np.ndarray
    """float32 [N]; counts before they are weighed."""
    starts: np.ndarray
    """int64 [D + 1]."""

    def __len__(self) -> int:
        return len(self.starts) - 1


class KeyTable:
    """64-bit keys to numbers, given in the order in which keys come: an open hash table that grows."""

    def __init__(self, keys: np.ndarray | None = None) -> None:
        self._known = 0
        self._make(1 << 16)
        if keys is not None:
            self.numbers(keys, learn=True)

    def __len__(self) -> int:
        return self._known

    def numbers(self, keys: np.ndarray, *, learn: bool) -> np.ndarray:
        """int32 like `keys`; -1 for those that are unknown, unless they are learned."""
        if learn and 2 * (self._known + len(keys)) > self._capacity:
            self._grow(2 * (self._known + len(keys)))
        found = np.empty(len(keys), np.int32)
        table = self._slots, self._numbers, self._capacity
        self._known = kernels.number(keys, len(keys), *table, self._known, learn, found)
        return found

    def keys(self) -> np.ndarray:
        """uint64, in the order of their numbers."""
        used = self._numbers >= 0
        keys = np.empty(self._known, np.uint64)
        keys[self._numbers[used]] = self._slots[used]
        return keys

    def _make(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots, self._numbers = np.empty(capacity, np.uint64), np.full(capacity, -1, np.int32)

    def _grow(self, capacity: int) -> None:
        keys, self._known = self.keys(), 0
        self._make(1 << (capacity - 1).bit_length())
        kernels.number(
            keys, len(keys), self._slots, self._numbers, self._capacity, 0, True, np.empty_like(keys, np.int32)
        )
        self._known = len(keys)


class Features:
    """The features that a model knows.

    Args:
        config: How documents are read and features weighted.
        eos_id: Of line ends, which are no tokens.
        keys: uint64 [F].
        idf: float32 [F], logarithms of how rare they are, times `ngram_weight`; see `inverse_document_frequency`.
    """

    def __init__(self, config: BagConfig, eos_id: int, keys: np.ndarray, idf: np.ndarray) -> None:
        self.config, self.eos_id, self.keys, self.idf = config, eos_id, keys, idf
        self._table = KeyTable(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def bags(self, documents: Iterable[Document]) -> Iterator[Bags]:
        """Weighted features of a few documents at a time; a document's do not depend on those beside it."""
        for block in blocks(documents, self.config):
            keys, ends = block_keys(block, self.config, self.eos_id)
            bags = _counted(self._table.numbers(keys, learn=False), ends, len(self))
            yield weigh(bags, self.idf, self.config)


def learn_features(documents: Iterable[Document], config: BagConfig, eos_id: int) -> tuple[Features, Bags]:
    """The features that stand in at least `min_count` of the documents, and the documents made of them.

    Features are numbered by how many documents they stand in, the most frequent first: what is often needed together
    lies together in memory.
    """
    table, parts = KeyTable(), []
    for block in blocks(documents, config):
        keys, ends = block_keys(block, config, eos_id)
        numbers = table.numbers(keys, learn=True)
        parts.append(_counted(numbers, ends, len(table)))
    bags = _joined(parts)
    frequency = np.bincount(bags.rows, minlength=len(table))
    keys = table.keys()
    kept = np.lexsort((keys, -frequency))[: np.count_nonzero(frequency >= config.min_count)]
    idf = inverse_document_frequency(frequency[kept], len(bags))
    idf[keys[kept] % 2 == 1] *= np.float32(config.ngram_weight)
    new_rows = np.full(len(table), -1, np.int32)
    new_rows[kept] = np.arange(len(kept), dtype=np.int32)
    features = Features(config, eos_id, keys[kept], idf)
    return features, weigh(_renumbered(bags, new_rows), idf, config)


def inverse_document_frequency(frequency: np.ndarray, documents: int) -> np.ndarray:
    """float32: 1 + ln((1 + documents) / (1 + frequency)), as in scikit-learn."""
    return (1 + np.log((1 + documents) / (1 + frequency))).astype(np.float32)


def weigh(bags: Bags, idf: np.ndarray, config: BagConfig) -> Bags:
    """Counts to weights, in place."""
    kernels.weigh(bags.rows, bags.weights, bags.starts[1:], len(bags), idf, config.weighting == "tf-idf")
    return bags


def blocks(documents: Iterable[Document], config: BagConfig) -> Iterator[list[Document]]:
    """Documents, a few at a time, so that little memory is needed."""
    block, size = [], 0
    for document in documents:
        block.append(document)
        size += 1 + (len(document.text) if config.units == "words" else len(document.ids))
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def block_keys(documents: Sequence[Document], config: BagConfig, eos_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the documents' features, uint64 [N], and where each document's end, int64 [D]."""
    if config.units == "tokens":
        return _token_keys(documents, config, eos_id)
    texts = [document.text.lower() if config.lowercase else document.text for document in documents]
    encoded = [text.encode("utf-8", "replace") for text in texts]
    text, ends = np.frombuffer(b"".join(encoded), np.uint8), _ends(encoded)
    low, high = config.char_ngrams or (0, 0)
    longest = max(map(len, encoded))
    # A word has at least one byte, and n-grams of one length are at most as many as words, or bytes and two ends each.
    most = len(text) * config.word_ngrams + (3 * len(text) * (high - low + 1) if high else 0)
    keys, key_ends = np.empty(most, np.uint64), np.empty(len(texts), np.int64)
    words = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.uint64)
    settings = config.punctuation, config.word_ngrams, low, high, config.buckets or 0
    kernels.text_keys(text, ends, len(texts), *settings, *words, keys, key_ends)
    return keys[: key_ends[-1]], key_ends


def _token_keys(documents: Sequence[Document], config: BagConfig, eos_id: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.concatenate([document.ids for document in documents]).astype(np.int32)
    ends = _ends([document.ids for document in documents])
    keys, key_ends = np.empty(len(ids) * config.word_ngrams, np.uint64), np.empty(len(documents), np.int64)
    hashes = np.empty(len(ids), np.uint64)
    settings = eos_id, config.word_ngrams, config.buckets or 0
    kernels.token_keys(ids, ends, len(documents), *settings, hashes, keys, key_ends)
    return keys[: key_ends[-1]], key_ends


def _ends(parts: Sequence[Any]) -> np.ndarray:
    return np.fromiter(itertools.accumulate(map(len, parts)), np.int64, len(parts))


def _counted(numbers: np.ndarray, ends: np.ndarray, known: int) -> Bags:
    rows, counts = np.empty(len(numbers), np.int32), np.empty(len(numbers), np.float32)
    starts = np.zeros(len(ends) + 1, np.int64)
    places = np.empty(known, np.int32)
    size = kernels.count_terms(numbers, ends, len(ends), places, rows, counts, starts[1:])
    return Bags(rows[:size], counts[:size], starts)


def _joined(parts: Sequence[Bags]) -> Bags:
    offsets = itertools.accumulate((len(part.rows) for part in parts), initial=0)
    starts = [part.starts[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]
    rows = np.concatenate([part.rows for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    return Bags(rows, weights, np.append(np.concatenate(starts), len(rows)))


def _renumbered(bags: Bags, new_rows: np.ndarray) -> Bags:
    """Other numbers for the features; those that become -1 are left out."""
    rows = new_rows[bags.rows]
    kept = rows >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[bags.starts]
    return Bags(rows[kept], bags.weights[kept], ends)


__all__ = ["Bags", "Features", "KeyTable", "learn_features", "weigh"]
