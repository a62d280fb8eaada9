"""Entropy pruning of finished tables: n-grams are left out that change the model least.

Without the n-gram hw the back-off b(h) becomes b'(h), and the model, weighted by its own probabilities, gives away

    D(hw) = P(h) (p(w | h) (log p(w | h) - log b'(h) - log p(w | h')) + u(h) (log b(h) - log b'(h)))

nats a word, where h' is h without its first word and u(h) the probability of all words that h backs off for. It is left
out if perplexity rises by less than a share, exp(D) - 1 < threshold; each as if it were the only one. Unigrams stay,
and so does what begins an n-gram that stays, and all of a context that saw the whole vocabulary, since nothing tells
what it would back off to. Back-offs are computed anew at the end.

P(h) is how often h occurs in the text, or, where that is not known, the product of the model's own probabilities of its
words. The latter misleads under Kneser-Ney smoothing, whose lower orders are no probabilities of words in the text. The
start of a line is no word that is predicted; as in SRILM it counts as often as lines end: with the unigram probability
of `eos_id`, which stands for both.

References:
    Stolcke, "Entropy-based pruning of backoff language models", 1998.
    Chelba et al., "Study on interaction between entropy pruning and Kneser-Ney smoothing", 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import compiled
from lmtool_ngram.tables.trie import Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK = 1 << 20
"""N-grams that are computed at once, or those of one context if they are more."""

SMALLEST = 1e-9
"""What sums of 32-bit probabilities leave of one is at least this."""


def prune_by_entropy(
    levels: Sequence[Level], threshold: float, log_marginals: Sequence[np.ndarray] = ()
) -> list[Level]:
    """The tables without the n-grams whose loss raises perplexity by less than a share.

    Beside the tables, old and new, it takes 9 bytes an n-gram of all orders, 5 of the highest.

    Args:
        levels: Order 1 first. The last n-1 words of each n-gram must be an n-gram, too, as counting leaves them.
        threshold: The share, as 1e-8.
        log_marginals: For each order but the highest float32 [M], nats: log P(h) of each n-gram as a context; if not
            given, the model's own.

    Returns:
        New tables. Words and probabilities of what is kept are unchanged.
    """
    suffixes = _suffixes(levels)
    kept = _kept(levels, suffixes, threshold, log_marginals or _log_marginals(levels[:-1]))
    backoffs = _backoffs(levels, suffixes, kept)
    contexts_kept = [np.ones(1, dtype=bool), *kept]
    return [_pack(*one) for one in zip(levels, contexts_kept, kept, backoffs, strict=False)]


@dataclass(frozen=True)
class _Part:
    """Some of the contexts of one order that are continued, C of them, with the G n-grams that continue them."""

    ngrams: slice
    """Places of the n-grams."""
    contexts: np.ndarray
    """int64 [C], places in the order below."""
    first: np.ndarray
    """int64 [C + 1], where each context's n-grams begin among the G, and G."""

    def sums(self, values: np.ndarray) -> np.ndarray:
        """float64 [C]: the sum of values [G] over each context."""
        total: np.ndarray = np.add.reduceat(values, self.first[:-1], dtype=np.float64)
        return total

    def spread(self, values: np.ndarray) -> np.ndarray:
        """[G]: the value of each n-gram's context, of values [C]."""
        return np.repeat(values, np.diff(self.first))

    def unseen(self, probs: np.ndarray, vocab_size: int) -> np.ndarray:
        """float64 [C]: what the probabilities [G] leave of one; zero exactly where all of V are there."""
        rest: np.ndarray = np.maximum(1 - self.sums(probs), SMALLEST)
        rest[self.sums(probs > 0) == vocab_size] = 0.0
        return rest


def _parts(level: Level) -> Iterator[_Part]:
    begin, last = 0, len(level.starts) - 1
    while begin < last:
        limit = min(int(level.starts[begin]) + BLOCK, int(level.starts[-1]))
        # of the array's own type: another would have it converted as a whole
        stop = int(np.searchsorted(level.starts, level.starts.dtype.type(limit), side="right")) - 1
        stop = max(stop, begin + 1)
        starts = level.starts[begin : stop + 1].astype(np.int64)
        continued = np.flatnonzero(np.diff(starts))
        if len(continued):
            first = np.append(starts[continued], starts[-1]) - starts[0]
            yield _Part(slice(int(starts[0]), int(starts[-1])), continued + begin, first)
        begin = stop


def _suffixes(levels: Sequence[Level]) -> list[np.ndarray]:
    """For each order, [M]: the places of the n-grams without their first words; at order 1 that of nothing."""
    suffixes: list[np.ndarray] = [np.zeros(len(levels[0]), dtype=np.uint32)]
    for below, level in pairwise(levels):
        found = np.empty(len(level), dtype=np.uint32 if len(below) < 1 << 32 else np.int64)
        for part in _parts(level):
            shorter, words = suffixes[-1][part.contexts].astype(np.int64), level.words[part.ngrams]
            low, high = (below.starts[one].astype(np.int64) for one in (shorter, shorter + 1))
            places = np.empty(len(words), dtype=np.int64)
            _search[words.dtype](words, part.first, len(low), low, high, below.words, places)
            found[part.ngrams] = places
        suffixes.append(found)
    return suffixes


def _search_words(words, first, num_contexts, low, high, words_below, places):  # type: ignore[no-untyped-def]
    """Where each context's words, ascending, stand between `low` and `high`, where they all are."""
    for context in range(num_contexts):
        begin = low[context]
        for i in range(first[context], first[context + 1]):
            end = high[context]
            while begin < end:
                middle = (begin + end) >> 1
                if words_below[middle] < words[i]:
                    begin = middle + 1
                else:
                    end = middle
            places[i] = begin


_search = {
    np.dtype(word): compiled(f"{word}[:], int64[:], int64, int64[:], int64[:], {word}[:], int64[:]")(_search_words)
    for word in ("uint16", "int32")
}


def _kept(
    levels: Sequence[Level], suffixes: Sequence[np.ndarray], threshold: float, log_marginals: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """For each order, bool [M]: what stays."""
    kept = [np.ones(len(levels[0]), dtype=bool)]
    needed = np.zeros(len(levels[-1]), dtype=bool)
    for n in range(len(levels) - 1, 0, -1):
        level, stays = levels[n], needed
        needed = np.zeros(len(levels[n - 1]), dtype=bool)
        for part in _parts(level):
            log_lower = levels[n - 1].log_probs[suffixes[n][part.ngrams]]
            loss = _loss(part, level, levels[n - 1], log_lower, log_marginals[n - 1], len(levels[0]))
            stays[part.ngrams] |= np.expm1(loss) >= threshold
            needed[part.contexts] = part.sums(stays[part.ngrams]) > 0
        kept.insert(1, stays)
    return kept


def _log_marginals(levels: Sequence[Level]) -> list[np.ndarray]:
    """For each order, float32 [M], nats: the log-probability of all words of each n-gram."""
    totals: list[np.ndarray] = []
    for n, level in enumerate(levels):
        totals.append(np.array(level.log_probs))
        for part in _parts(level) if n else ():
            totals[n][part.ngrams] += part.spread(totals[n - 1][part.contexts])
    return totals


def _loss(
    part: _Part, level: Level, below: Level, log_lower: np.ndarray, log_marginals: np.ndarray, vocab_size: int
) -> np.ndarray:
    """float64 [G], nats a word: what the model gives away without each n-gram; infinite where the context saw all."""
    log_probs, log_lower = level.log_probs[part.ngrams].astype(np.float64), log_lower.astype(np.float64)
    probs, lower = np.exp(log_probs), np.exp(log_lower)
    log_backoffs = below.log_backoffs[part.contexts].astype(np.float64)
    # From the back-off, not from the sum of probabilities: so D is a divergence, and 0 or more, in spite of rounding.
    lower_unseen = part.unseen(lower, vocab_size)
    unseen = part.spread(np.exp(log_backoffs) * lower_unseen)
    new_log_backoffs = np.log((unseen + probs) / (part.spread(lower_unseen) + lower))
    loss: np.ndarray = probs * (log_probs - new_log_backoffs - log_lower)
    loss += unseen * (part.spread(log_backoffs) - new_log_backoffs)
    loss *= part.spread(np.exp(log_marginals[part.contexts].astype(np.float64)))
    loss[part.spread(lower_unseen == 0)] = np.inf
    return loss


def _backoffs(
    levels: Sequence[Level], suffixes: Sequence[np.ndarray], kept: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
    """For each order, float32 [M], nats, what makes the sums one again; [0] at the highest."""
    vocab_size, lower = len(levels[0]), np.asarray(levels[0].log_probs)
    for n, level in enumerate(levels[1:], start=1):
        backoffs = np.zeros(len(levels[n - 1]), dtype=np.float32)
        here = np.empty(len(level) if n < len(levels) - 1 else 0, dtype=np.float32)
        for part in _parts(level):
            log_lower, stays = lower[suffixes[n][part.ngrams]], kept[n][part.ngrams]
            log_probs = level.log_probs[part.ngrams]
            unseen, lower_unseen = (
                part.unseen(np.where(stays, np.exp(one, dtype=np.float64), 0), vocab_size)
                for one in (log_probs, log_lower)
            )
            new = np.divide(unseen, lower_unseen, out=np.ones(len(unseen)), where=lower_unseen > 0)
            backoffs[part.contexts] = np.log(new)
            if len(here):
                here[part.ngrams] = np.where(stays, log_probs, part.spread(backoffs[part.contexts]) + log_lower)
        yield backoffs
        lower = here
    yield np.zeros(0, dtype=np.float32)


def _pack(level: Level, contexts_kept: np.ndarray, kept: np.ndarray, backoffs: np.ndarray) -> Level:
    """The table of what is kept, among the contexts that are kept."""
    before = np.zeros(len(kept) + 1, dtype=level.starts.dtype)
    np.cumsum(kept, out=before[1:])
    starts = np.append(before[level.starts[:-1][contexts_kept]], before[-1])
    return Level(level.words[kept], starts, level.log_probs[kept], backoffs[kept] if len(backoffs) else backoffs)
