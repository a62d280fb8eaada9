"""Caches: models that know nothing but what was read lately.

A cache gives a token its probability before it is added, and nothing to any token before the first.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from lmtool.compiled import compiled

QUERIES = 128
"""Time steps whose similarities to the remembered ones are held at once: `[QUERIES, QUERIES + window]`."""


class History(NamedTuple):
    """The last tokens of B streams."""

    ids: np.ndarray
    """int32 [B, n], oldest first; n is at most the cache's window."""
    hidden: np.ndarray | None = None
    """float32 [B, n, E]: what the network had read before each, as its output layer saw it."""


class Cache(Protocol):
    """A part of a mixture that learns from what is read."""

    window: int

    def score(self, ids: np.ndarray, hidden: np.ndarray | None, history: History) -> tuple[np.ndarray, History]:
        """float64 [B, T], nats, and the history after the last token; `hidden` [B, T, E] belongs to `ids` [B, T]."""
        ...

    def next_log_probs(self, hidden: np.ndarray | None, history: History, vocab_size: int) -> np.ndarray:
        """float64 [B, V], nats; `hidden` [B, E] is what the network says now."""
        ...


def empty(batch_size: int) -> History:
    """Nothing has been read."""
    return History(np.zeros((batch_size, 0), np.int32))


def _longer(history: History, ids: np.ndarray, hidden: np.ndarray | None) -> History:
    """The history with more tokens at its end."""
    longer = np.concatenate([history.ids, ids], axis=1, dtype=np.int32)
    if hidden is None:
        return History(longer)
    hidden = np.asarray(hidden, np.float32)
    return History(longer, hidden if history.hidden is None else np.concatenate([history.hidden, hidden], axis=1))


def _latest(history: History, window: int) -> History:
    """Its last tokens, copied: a view would keep all the others in memory."""
    start = max(history.ids.shape[1] - window, 0)
    if not start:
        return history
    hidden = None if history.hidden is None else history.hidden[:, start:].copy()
    return History(history.ids[:, start:].copy(), hidden)


class UnigramCache:
    """Relative frequencies of the last tokens, recent ones weighing more if there is a half-life.

    Args:
        window: Tokens that are remembered.
        half_life: A token `half_life` steps older than another weighs half as much; None for all alike.

    References: Kuhn & De Mori, "A cache-based natural language model for speech recognition", 1990; Clarkson &
    Robinson, "Language model adaptation using mixtures and an exponentially decaying cache", 1997.
    """

    def __init__(self, window: int, half_life: float | None = None) -> None:
        self.window = window
        ages = np.arange(window + 1)
        # by age, from 1; what is predicted itself, of age 0, has no say
        self._weights = np.ones(window + 1) if half_life is None else 0.5 ** (ages / half_life)
        self._weights[0] = 0.0
        self._totals = np.cumsum(self._weights)

    def score(self, ids: np.ndarray, hidden: np.ndarray | None, history: History) -> tuple[np.ndarray, History]:
        (batch_size, length), before = ids.shape, history.ids.shape[1]
        longer = _longer(history, ids, None)
        sums = np.zeros(ids.shape)
        _add_weights(
            np.ascontiguousarray(longer.ids).reshape(-1), batch_size, before, length, self.window,
            self._weights, sums.reshape(-1),
        )  # fmt: skip
        totals = self._totals[np.minimum(before + np.arange(length), self.window)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(totals > 0, np.log(sums) - np.log(totals), -np.inf), _latest(longer, self.window)

    def next_log_probs(self, hidden: np.ndarray | None, history: History, vocab_size: int) -> np.ndarray:
        count = history.ids.shape[1]
        weights = self._weights[count:0:-1] / (self._totals[count] or 1.0)
        rows = [np.bincount(ids, weights, vocab_size) for ids in history.ids]
        with np.errstate(divide="ignore"):
            return np.log(np.stack(rows))


@compiled("int32[:], int64, int64, int64, int64, float64[:], float64[:]")
def _add_weights(ids, batch_size, before, length, window, weights, sums):  # type: ignore[no-untyped-def]
    """Add up the weights of the tokens in the window before each token that are the same.

    Args:
        ids: [B, before + length]; the first `before` of a row are not predicted.
        batch_size: B.
        before: Of each row.
        length: T.
        window: The greatest age.
        weights: By age, [window + 1].
        sums: [B, T], zeros.
    """
    for row in range(batch_size):
        start = row * (before + length)
        for t in range(length):
            here = start + before + t
            total = 0.0
            for place in range(max(start, here - window), here):
                if ids[place] == ids[here]:
                    total += weights[here - place]
            sums[row * length + t] = total


class NeuralCache:
    """Tokens that came after hidden states like the present one: p(w) is in proportion to the sum of
    exp(theta h · h_i) over the remembered positions i at which w came.

    Args:
        window: Tokens that are remembered.
        theta: 0 makes all positions alike, as in a unigram cache.

    References: Grave, Joulin & Usunier, "Improving neural language models with a continuous cache", 2017.
    """

    def __init__(self, window: int, theta: float) -> None:
        self.window, self.theta = window, theta

    def score(self, ids: np.ndarray, hidden: np.ndarray | None, history: History) -> tuple[np.ndarray, History]:
        before = history.ids.shape[1]
        longer = _longer(history, ids, hidden)
        assert longer.hidden is not None
        log_probs = np.empty(ids.shape)
        for row in range(len(ids)):
            for start in range(0, ids.shape[1], QUERIES):
                queries = slice(before + start, before + min(start + QUERIES, ids.shape[1]))
                piece = self._score_piece(longer.ids[row], longer.hidden[row], queries)
                log_probs[row, start : start + QUERIES] = piece
        return log_probs, _latest(longer, self.window)

    def _score_piece(self, ids: np.ndarray, hidden: np.ndarray, queries: slice) -> np.ndarray:
        """Log-probabilities of the tokens at some positions of one stream."""
        keys = slice(max(queries.start - self.window, 0), queries.stop)
        ages = np.arange(queries.start, queries.stop)[:, None] - np.arange(keys.start, keys.stop)
        similar = (np.float32(self.theta) * hidden[queries]) @ hidden[keys].T
        similar[(ages < 1) | (ages > self.window)] = -np.inf
        weights = _softmax(similar)
        weights[ids[queries, None] != ids[None, keys]] = 0.0
        with np.errstate(divide="ignore"):
            log_probs: np.ndarray = np.log(weights.sum(axis=1, dtype=np.float64))
        return log_probs

    def next_log_probs(self, hidden: np.ndarray | None, history: History, vocab_size: int) -> np.ndarray:
        assert hidden is not None
        rows = []
        for row, query in enumerate(hidden):
            keys = np.zeros((0, len(query)), np.float32) if history.hidden is None else history.hidden[row]
            weights = _softmax(keys @ (np.float32(self.theta) * query)[:, None], axis=0)
            rows.append(np.bincount(history.ids[row], weights[:, 0], vocab_size))
        with np.errstate(divide="ignore"):
            return np.log(np.stack(rows))


def _softmax(logits: np.ndarray, axis: int = 1) -> np.ndarray:
    """float32; zeros where there is nothing but -inf."""
    highest = logits.max(axis=axis, keepdims=True, initial=-np.inf)
    weights: np.ndarray = np.exp(logits - np.where(np.isfinite(highest), highest, np.float32(0)))
    total = weights.sum(axis=axis, keepdims=True)
    weights /= np.where(total > 0, total, np.float32(1))
    return weights
