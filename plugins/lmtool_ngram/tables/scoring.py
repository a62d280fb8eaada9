"""What a back-off n-gram model gives to texts, and the words after which a text goes on.

The tables are made ready once (`lmtool_ngram.tables.lookup`) and looked up by compiled loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from lmtool_ngram.tables.lookup import NOTHING, Lookup

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from lmtool_ngram.tables.trie import Level

_ready: MutableMapping[Level, tuple[tuple[Level, ...], Lookup]] = WeakKeyDictionary()
"""By the highest order of the tables; with the orders below, since tables may share the highest alone."""


def score(levels: Sequence[Level], ids: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `Lookup.score`; the tables are made ready when they are first used."""
    return _lookup(levels).score(ids, context)


def next_log_probs(levels: Sequence[Level], context: np.ndarray) -> np.ndarray:
    """As `Lookup.next_log_probs`."""
    return _lookup(levels).next_log_probs(context)


def next_context(ids: np.ndarray, context: np.ndarray, eos_id: int) -> np.ndarray:
    """int32 [B, order-1]: the words after which a text goes on, back to the start of the line."""
    width = context.shape[1]
    words = np.concatenate([context, ids[:, max(ids.shape[1] - width, 0) :]], axis=1, dtype=np.int32)
    words = words[:, words.shape[1] - width :].copy()
    line_ends = np.cumsum((words == eos_id)[:, ::-1], axis=1)[:, ::-1]
    # Of the words before the last line end, and that is all with another line end after them, nothing is left.
    words[line_ends - (words == eos_id) > 0] = NOTHING
    return words


def _lookup(levels: Sequence[Level]) -> Lookup:
    below = tuple(levels[:-1])
    found = _ready.get(levels[-1])
    if found is None or found[0] != below:
        found = _ready[levels[-1]] = below, Lookup(levels)
    return found[1]


__all__ = ["NOTHING", "next_context", "next_log_probs", "score"]
