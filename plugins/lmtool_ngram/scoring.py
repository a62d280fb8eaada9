"""Looking up a back-off n-gram model for whole batches.

For each position the places of the n-grams that end there are found order by order: the n-gram in place `i` is a
continuation of the n-1-gram that ends one position before. Probabilities follow from the places (Katz's recursion):

    log p_n(w | c) = log_probs[cw]  if cw was seen,  else log_backoffs[c] + log p_{n-1}(w | c without its first word)

where a context that was never seen has log_backoffs 0. The end of a line is continued by nothing, so no context
reaches across it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_ngram.trie import Level

NOTHING = -1
"""Stands for "no word" in a state, and for "no such n-gram" among places."""


def places(levels: Sequence[Level], ids: np.ndarray) -> list[np.ndarray]:
    """For each order n, int64 [B, T]: the place of the n-gram that ends at each position; -1 if there is none."""
    found = [ids.astype(np.int64)]
    for level in levels[1:]:
        ending = np.full(ids.shape, NOTHING, dtype=np.int64)
        parents, targets = found[-1][:, :-1], found[0][:, 1:]
        possible = (parents >= 0) & (targets >= 0)
        ending[:, 1:][possible] = level.find(parents[possible], targets[possible])
        found.append(ending)
    return found


def score(levels: Sequence[Level], ids: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each token, and the order of the n-gram that gave it.

    Args:
        levels: Order 1 first.
        ids: int [B, T].
        context: int [B, order-1], the words before, `NOTHING` where there are none.

    Returns:
        float64 [B, T], nats, and int8 [B, T].
    """
    width = context.shape[1]
    found = places(levels, np.concatenate([context, ids], axis=1, dtype=np.int64))
    here, before = slice(width, None), slice(width - 1, -1)
    log_probs = levels[0].log_probs[ids].astype(np.float64)
    matched = np.ones(ids.shape, dtype=np.int8)
    for n in range(2, len(levels) + 1):
        place = found[n - 1][:, here]
        log_probs += _backoffs(levels[n - 2], found[n - 2][:, before])
        seen = place >= 0
        log_probs[seen] = levels[n - 1].log_probs[place[seen]]
        matched[seen] = n
    return log_probs, matched


def next_log_probs(levels: Sequence[Level], context: np.ndarray) -> np.ndarray:
    """float64 [B, V], nats: the distribution of the token after each context, int [B, order-1]."""
    contexts = [place[:, -1] for place in places(levels[:-1], context)] if len(levels) > 1 else []
    rows = np.repeat(levels[0].log_probs[None].astype(np.float64), len(context), axis=0)
    for below, level, places_of_context in zip(levels, levels[1:], contexts, strict=False):
        for row, place in zip(rows, places_of_context, strict=True):
            if place >= 0:
                row += below.log_backoffs[place]
                continued = slice(level.starts[place], level.starts[place + 1])
                row[level.words[continued]] = level.log_probs[continued]
    return rows


def next_context(ids: np.ndarray, context: np.ndarray, eos_id: int) -> np.ndarray:
    """int32 [B, order-1]: the words after which a text goes on, back to the start of the line."""
    width = context.shape[1]
    words = np.concatenate([context, ids], axis=1, dtype=np.int32)
    words = words[:, words.shape[1] - width :].copy()
    line_ends = np.cumsum((words == eos_id)[:, ::-1], axis=1)[:, ::-1]
    # Of the words before the last line end, and that is all with another line end after them, nothing is left.
    words[line_ends - (words == eos_id) > 0] = NOTHING
    return words


def _backoffs(level: Level, contexts: np.ndarray) -> np.ndarray:
    """float64, nats: 0 where the context was never seen."""
    return np.where(contexts >= 0, level.log_backoffs[contexts], 0.0) if len(level) else np.zeros(contexts.shape)
