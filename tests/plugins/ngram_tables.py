"""Random tables of back-off models, and looking them up word by word."""

from __future__ import annotations

import numpy as np

from lmtool_ngram.tables.trie import Level


def random_ngrams(rng, order, vocab_size, counts, *, closed):
    """For each order a sorted list of n-grams; what begins one is there, and what ends one if `closed`."""
    found = [set() for _ in range(order)]
    found[0] = {(word,) for word in range(vocab_size)}
    for n in range(order, 1, -1):
        # Few first words, so that some contexts have many continuations.
        first = rng.integers(0, max(vocab_size // 4, 1), (counts[n - 2], n - 1))
        drawn = np.concatenate([first, rng.integers(0, vocab_size, (counts[n - 2], 1))], axis=1)
        found[n - 1] |= set(map(tuple, drawn.tolist()))
        found[n - 2] |= {ngram[:-1] for ngram in found[n - 1]}
        if closed:
            found[n - 2] |= {ngram[1:] for ngram in found[n - 1]}
    return [sorted(one) for one in found]


def tables(rng, ngrams, vocab_size, *, closed=False):
    """Tables with random numbers in them."""
    word_type = np.uint16 if vocab_size <= 1 << 16 else np.int32
    levels, places = [], {(): 0}
    for n, one in enumerate(ngrams, start=1):
        parents = np.array([places[ngram[:-1]] for ngram in one], dtype=np.int64)
        starts = np.searchsorted(parents, np.arange(len(places) + 1)).astype(np.uint32)
        words = np.array([ngram[-1] for ngram in one], dtype=word_type)
        log_probs = rng.normal(-5, 2, len(one)).astype(np.float32)
        log_backoffs = rng.normal(-1, 1, len(one) if n < len(ngrams) else 0).astype(np.float32)
        levels.append(Level(words, starts, log_probs, log_backoffs, closed=closed))
        places = {ngram: place for place, ngram in enumerate(one)}
    return levels


def by_words(levels, ngrams):
    """Of each n-gram: its log-probability and its log back-off."""
    return {
        ngram: (float(level.log_probs[i]), float(level.log_backoffs[i]) if len(level.log_backoffs) else 0.0)
        for level, one in zip(levels, ngrams, strict=True)
        for i, ngram in enumerate(one)
    }


def katz(table, context, word):
    """The log-probability of a word after a context, and the order of the n-gram that gave it."""
    backoff = 0.0
    for begin in range(len(context) + 1):
        shorter = tuple(context[begin:])
        if -1 not in shorter:
            if (*shorter, word) in table:
                return backoff + table[*shorter, word][0], len(shorter) + 1
            backoff += table.get(shorter, (0.0, 0.0))[1]
    raise KeyError(word)


def katz_all(table, ids, context):
    """For ids [B, T] after contexts [B, order-1]."""
    width = context.shape[1]
    rows = np.concatenate([context, ids], axis=1).tolist()
    found = [[katz(table, row[t : t + width], row[t + width]) for t in range(ids.shape[1])] for row in rows]
    return np.array(found).reshape(*ids.shape, 2)
