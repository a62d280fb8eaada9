"""The tables of a back-off n-gram model: a trie of sorted arrays.

The n-grams of order n are sorted by their words. `words` holds the last word of each; those that continue the n-1-gram
in place i lie in `starts[i]:starts[i + 1]`, their words ascending. What an n-gram begins with is thus always there. Any
array may be memory-mapped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

NO_INDEX = np.zeros(0, dtype=np.uint32)


@dataclass(frozen=True, eq=False)
class Coded:
    """float32 [M], as codes of values. An index or a slice gives the values; so does `np.asarray` of all."""

    codes: np.ndarray
    """uint8 or uint16 [M]."""
    values: np.ndarray
    """float32 [at most 256 or 65536], ascending."""

    dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, places: Any) -> Any:
        return self.values[self.codes[places]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values: np.ndarray = self.values[self.codes]
        return values.astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Level:
    """The n-grams of one order; M of them. At order 1 these are all V words, each in the place of its id."""

    words: np.ndarray
    """uint16 or int32 [M]."""
    starts: np.ndarray
    """uint32 or int64 [M of the order below + 1]; [0, V] at order 1."""
    log_probs: np.ndarray
    """float32 [M], or `Coded`, nats: the last word's, given the words before it."""
    log_backoffs: np.ndarray
    """float32 [M], or `Coded`, nats: what the order below is weighted with where a longer n-gram is missing; [0] if
    highest."""
    index: np.ndarray = field(default_factory=lambda: NO_INDEX)
    """uint32, see `lmtool_ngram.tables.index`; [0] if there is none: looking up is slower then, and no different."""
    closed: bool = False
    """True if each n-gram without its first word is an n-gram, too: looking up may stop where a shorter one is missing.
    Counting leaves them so; pruning each for itself does not."""

    def __len__(self) -> int:
        return len(self.words)
