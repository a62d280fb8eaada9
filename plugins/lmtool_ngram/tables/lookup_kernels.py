"""The loops of looking n-grams up, as machine code; see `lmtool_ngram.tables.lookup` for the method.

All orders' arrays of one kind are reached from one of them: `offsets`, int64 [10, orders], says where each begins, so
that one loop takes any number of orders. Its rows: words, starts, log-probabilities, log back-offs, slots of the index
(elements from the one that is passed); the number of slots, 0 without an index; bits of a place in a slot; where the
order's values begin for codes of probabilities, and of back-offs; the number of n-grams.

What the arrays hold is not trusted: places are kept below the number of n-grams, so damaged files give wrong numbers
but are never read, or written, outside of what is there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.compiled import Compiled, compiled

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUES = 7
"""Numbers a token that `match` needs beside `places`."""


def hashed(parent: Any, word: Any) -> Any:
    """64 well-mixed bits: the upper half chooses the slot, the lower half the tag."""
    mixed = np.uint64(parent) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(word) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(32)
    return mixed * np.uint64(0xD6E8FEB86659FD93)


def find(words: Any, words_at: Any, low: Any, left: Any, word: Any) -> Any:
    """The place of a word among `left` ascending words from place `low` on; -1 if there is none."""
    while left > 1:
        half = left >> 1
        low += half * (words[words_at + low + half] <= word)
        left -= half
    return low if left == 1 and words[words_at + low] == word else -1


def decode(values: Any, values_at: Any, array: Any, at: Any) -> Any:
    """A probability or a back-off that is stored as it is."""
    return np.float64(array[at])


def _decode_code(values: Any, values_at: Any, codes: Any, at: Any) -> Any:
    return np.float64(values[values_at + codes[at]])


_decode_code.__name__ = "decode"  # takes the place of the other one


def _match(  # type: ignore[no-untyped-def]
    tokens, length, order, block, closed, longest, offsets, words, starts, unigrams, unigram_backoffs, log_probs,
    log_backoffs, values, slots, places, queues, out, matched,
):  # fmt: skip
    """Score `length` tokens one after another; negative ones are no words and break the context.

    Whatever may miss the cache is read in loops as short as can be, without branches: many of their loads run at once.
    """
    row = block + 1  # places of order n: before the block, then one a token
    first, size_of, slot_of, tag_of, seen, again = block, 2 * block, 3 * block, 4 * block, 5 * block, 6 * block
    for n in range(order):
        places[n * row] = -1
    for begin in range(0, length, block):
        size = min(block, length - begin)
        for i in range(size):
            places[i + 1] = tokens[begin + i]
            matched[begin + i] = 1
        for n in range(1, order):
            words_at, starts_at, slots_at = offsets[n], offsets[order + n], offsets[4 * order + n]
            num_slots, bits, num_ngrams = offsets[5 * order + n], offsets[6 * order + n], offsets[9 * order + n]
            most = longest if num_slots > 0 else np.int64(1) << 62  # without an index all is searched
            below, here, low_bits = (n - 1) * row, n * row, (np.int64(1) << bits) - 1
            asked = 0
            for i in range(size):
                places[here + i + 1] = -1
                queues[asked] = i
                shorter = (places[below + i + 1] >= 0) | ((closed == 0) & (tokens[begin + i] >= 0))
                asked += (places[below + i] >= 0) & shorter & (num_ngrams > 0)
            for k in range(asked):
                parent = places[below + queues[k]]
                queues[first + k] = min(np.int64(starts[starts_at + parent]), num_ngrams)
                queues[size_of + k] = min(np.int64(starts[starts_at + parent + 1]), num_ngrams)
            for k in range(asked):
                queues[size_of + k] -= queues[first + k]
                mixed = hashed(places[below + queues[k]], np.int64(tokens[begin + queues[k]]))
                slot = (np.int64(mixed >> np.uint64(32)) * num_slots) >> 32
                queues[slot_of + k] = slot if queues[size_of + k] > most else 0
                queues[tag_of + k] = np.int64(mixed & np.uint64(0xFFFFFFFF)) >> bits
            for k in range(asked):
                queues[seen + k] = slots[slots_at + queues[slot_of + k]]
            unsettled = 0
            for k in range(asked):
                low, left, value = queues[first + k], queues[size_of + k], queues[seen + k]
                place, indexed = (value & low_bits) - 1, left > most
                hit = ((value >> bits) == queues[tag_of + k]) & (place >= low) & (place < low + left)
                queues[again + unsettled] = k
                unsettled += indexed & (not hit) & (value != 0)
                queues[seen + k] = (place if hit else -1) if indexed else (low if left > 0 else -1)
            for j in range(unsettled):
                k = queues[again + j]
                low, high, slot = queues[first + k], queues[first + k] + queues[size_of + k], queues[slot_of + k]
                value = np.int64(1)
                while value != 0:
                    slot = slot + 1 if slot + 1 < num_slots else 0
                    # A damaged index may have no empty slot: once around is enough.
                    value = np.int64(slots[slots_at + slot]) if slot != queues[slot_of + k] else np.int64(0)
                    place = (value & low_bits) - 1
                    if ((value >> bits) == queues[tag_of + k]) & (place >= low) & (place < high):
                        queues[seen + k] = place
                        value = 0
            for k in range(asked):
                queues[slot_of + k] = words[words_at + max(queues[seen + k], 0)]
            unsettled = 0
            for k in range(asked):
                i, place = queues[k], queues[seen + k]
                hit = (queues[slot_of + k] == tokens[begin + i]) & (place >= 0)
                queues[again + unsettled] = k
                unsettled += (not hit) & (place >= 0) & (queues[size_of + k] > 1)
                places[here + i + 1] = place if hit else -1
                matched[begin + i] = n + 1 if hit else matched[begin + i]
            for j in range(unsettled):  # of a few words not the first; or two of one context have the same tag
                k = queues[again + j]
                i = queues[k]
                places[here + i + 1] = find(words, words_at, queues[first + k], queues[size_of + k], tokens[begin + i])
                matched[begin + i] = n + 1 if places[here + i + 1] >= 0 else matched[begin + i]
        for i in range(size):
            out[begin + i] = unigrams[max(places[i + 1], 0)]
        for n in range(1, order):
            asked = 0
            for i in range(size):
                queues[asked] = i
                asked += matched[begin + i] == n + 1
            for k in range(asked):
                at = offsets[2 * order + n] + places[n * row + queues[k] + 1]
                out[begin + queues[k]] = decode(values, offsets[7 * order + n], log_probs, at)
        for n in range(order - 1):
            asked = 0
            for i in range(size):
                queues[asked] = i
                asked += (places[n * row + i] >= 0) & (matched[begin + i] <= n + 1)
            for k in range(asked):
                place = places[n * row + queues[k]]
                if n == 0:
                    out[begin + queues[k]] += unigram_backoffs[place]
                else:
                    at = offsets[3 * order + n] + place
                    out[begin + queues[k]] += decode(values, offsets[8 * order + n], log_backoffs, at)
        for n in range(order):
            places[n * row] = places[n * row + size]


def _next(  # type: ignore[no-untyped-def]
    context, rows, width, vocab_size, order, offsets, words, starts, unigrams, unigram_backoffs, log_probs,
    log_backoffs, values, places, backoffs, out,
):  # fmt: skip
    """The distribution after each context; `places` and `backoffs` hold `order` numbers."""
    for row in range(rows):
        total = 0.0  # of the back-offs of the contexts of n words and more
        backoffs[width] = 0.0
        for n in range(width, 0, -1):
            begin = row * width + width - n
            place = np.int64(context[begin])
            for k in range(1, n):
                if place >= 0:
                    low = min(np.int64(starts[offsets[order + k] + place]), offsets[9 * order + k])
                    left = min(np.int64(starts[offsets[order + k] + place + 1]), offsets[9 * order + k]) - low
                    place = find(words, offsets[k], low, left, context[begin + k])
            places[n] = place
            if place >= 0:
                if n == 1:
                    total += unigram_backoffs[place]
                else:
                    at = offsets[3 * order + n - 1] + place
                    total += decode(values, offsets[8 * order + n - 1], log_backoffs, at)
            backoffs[n - 1] = total
        at = row * vocab_size
        for i in range(vocab_size):
            out[at + i] = unigrams[i] + total
        for n in range(1, width + 1):  # each order over those below
            if places[n] >= 0:
                begin = np.int64(starts[offsets[order + n] + places[n]])
                end = min(np.int64(starts[offsets[order + n] + places[n] + 1]), offsets[9 * order + n])
                for i in range(begin, end):
                    value = decode(values, offsets[7 * order + n], log_probs, offsets[2 * order + n] + i)
                    word = np.int64(words[offsets[n] + i])
                    if word >= 0 and word < vocab_size:
                        out[at + word] = value + backoffs[n]


_TABLES = "int64[:], {word}[:], uint32[:], float32[:], float32[:], {value}[:], {value}[:], float32[:]"
_MATCH = f"int32[:], int64, int64, int64, int64, int64, {_TABLES}, uint32[:], int64[:], int64[:], float64[:], int8[:]"
_NEXT = f"int32[:], int64, int64, int64, int64, {_TABLES}, int64[:], float64[:], float64[:]"


@lru_cache(None)
def match(word: str, value: str) -> Compiled:
    """`_match` for words of a type (uint16, int32) and probabilities as float32, or as codes (uint8, uint16)."""
    return compiled(_MATCH.format(word=word, value=value), hashed, find, _decode(value))(_match)


@lru_cache(None)
def next_probs(word: str, value: str) -> Compiled:
    """`_next`, likewise."""
    return compiled(_NEXT.format(word=word, value=value), find, _decode(value))(_next)


def _decode(value: str) -> Callable[..., Any]:
    return decode if value == "float32" else _decode_code


__all__ = ["QUEUES", "find", "hashed", "match", "next_probs"]
