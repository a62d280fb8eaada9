"""From documents to the keys of their features, 64 hashed bits each, and from keys to rows; as machine code.

Text is UTF-8 that Python has encoded, so it is well formed. A document's keys come in the order of the text: all its
words, then the longer n-grams, then the characters' n-grams.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lmtool.compiled import compiled

GAP, PART, ALONE, MARK = 0, 1, 2, 3
"""What a character is: between words, part of a word, a word by itself, a punctuation mark."""


def mixed(bits: Any) -> Any:
    """64 well-mixed bits (SplitMix64's finalizer)."""
    bits = np.uint64(bits)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def character(text: Any, at: Any) -> Any:
    """Kind and length in bytes of the character that starts here."""
    byte = np.int64(text[at])
    if byte < 0x80:
        if (byte >= 97 and byte <= 122) or (byte >= 48 and byte <= 57) or (byte >= 65 and byte <= 90) or byte == 95:
            return PART, 1
        return (MARK if byte > 32 and byte < 127 else GAP), 1
    if byte < 0xE0:
        code = ((byte & 31) << 6) | (np.int64(text[at + 1]) & 63)
        if code >= 0xC0 or code == 0xAA or code == 0xB5 or code == 0xBA:
            return (MARK if code == 0xD7 or code == 0xF7 else PART), 2
        return (MARK if code > 0xA0 else GAP), 2
    if byte < 0xF0:
        code = ((byte & 15) << 12) | ((np.int64(text[at + 1]) & 63) << 6) | (np.int64(text[at + 2]) & 63)
        return three_bytes(code), 3
    code = ((byte & 7) << 18) | ((np.int64(text[at + 1]) & 63) << 12) | ((np.int64(text[at + 2]) & 63) << 6)
    # Chinese beyond the basic plane; pictures, which say as much as a word.
    return (ALONE if code >= 0x20000 or (code >= 0x1F000 and code < 0x1FB00) else PART), 4


def three_bytes(code: Any) -> Any:
    """Kind of a character from U+0800 to U+FFFF."""
    if code < 0x2000 or (code >= 0xA000 and code < 0xF900):
        return PART
    if code < 0x2E80:
        is_gap = code <= 0x200F or (code >= 0x2028 and code <= 0x202F) or (code >= 0x205F and code <= 0x206F)
        return GAP if is_gap else (PART if code >= 0x2C00 and code < 0x2E00 else MARK)
    if code >= 0x3000 and code < 0x3040:
        return GAP if code == 0x3000 else MARK
    if code < 0xFB00:
        return ALONE
    if code >= 0xFE00 and code < 0xFE70:
        return GAP if code < 0xFE10 else MARK
    if code >= 0xFF00:
        plain = (code >= 0xFF10 and code < 0xFF1A) or (code >= 0xFF21 and code < 0xFF3B)
        return PART if plain or (code >= 0xFF41 and code < 0xFF5B) or (code >= 0xFF66 and code < 0xFFE0) else MARK
    return PART


def ngram_key(bits: Any, buckets: Any) -> Any:
    """The key of an n-gram, which is odd; those of words are even."""
    return ((bits % np.uint64(buckets)) << np.uint64(1) if buckets > 0 else bits) | np.uint64(1)


def ngram_keys(hashes: Any, count: Any, order: Any, buckets: Any, keys: Any, at: Any) -> Any:
    """Write the keys of `count` words and of their n-grams from `at` on; where they end."""
    for i in range(count):
        keys[at + i] = hashes[i] & np.uint64(0xFFFFFFFFFFFFFFFE)
    at += count
    for n in range(2, order + 1):
        for i in range(count - n + 1):
            bits = np.uint64(n)
            for k in range(n):
                bits = mixed(bits * np.uint64(0x9E3779B97F4A7C15) + hashes[i + k])
            keys[at] = ngram_key(bits, buckets)
            at += 1
    return at


def char_keys(text: Any, start: Any, end: Any, low: Any, high: Any, buckets: Any, keys: Any, at: Any) -> Any:
    """Likewise for the characters of one word, its begin and its end counting as characters."""
    begin = start - 1
    while begin < end:
        bits, place, length = np.uint64(0xC2B2AE3D27D4EB4F), begin, 0
        while length < high and place <= end:
            size = 1 if place < start or place == end else character(text, place)[1]
            if place < start or place == end:
                bits = mixed(bits + np.uint64(1 if place < start else 2))
            else:
                for k in range(size):
                    bits = (bits ^ np.uint64(text[place + k])) * np.uint64(0x100000001B3)
            place += size
            length += 1
            if length >= low:
                keys[at] = ngram_key(mixed(bits + np.uint64(length)), buckets)
                at += 1
        begin += 1 if begin < start else character(text, begin)[1]
    return at


@compiled(
    "uint8[:], int64[:], int64, int64, int64, int64, int64, int64, int64[:], int64[:], uint64[:], uint64[:], int64[:]",
    mixed, three_bytes, character, ngram_key, ngram_keys, char_keys,
)  # fmt: skip
def text_keys(  # type: ignore[no-untyped-def]
    text, document_ends, documents, marks, order, low, high, buckets, starts, ends, hashes, keys, key_ends
):
    """Keys of documents that lie one behind the other in `text`.

    Args:
        text: Bytes.
        document_ends: [documents], offsets in it.
        marks: 1 if each mark is a word.
        order: Longest n-gram of words.
        low, high: Shortest and longest n-gram of characters; `high` 0 for none.
        buckets: How many n-grams are told apart; 0 for all.
        starts, ends, hashes: Room for the words of the longest document.
        keys, key_ends: The result: keys, and for each document where its last one ends.
    """
    begin, at = np.int64(0), np.int64(0)
    for document in range(documents):
        count, place, inside = np.int64(0), begin, False
        while place < document_ends[document]:
            kind, size = character(text, place)
            if inside and kind != PART:
                ends[count] = place
                count += 1
                inside = False
            if kind == PART and not inside:
                starts[count] = place
                inside = True
            if kind == ALONE or (kind == MARK and marks):
                starts[count], ends[count] = place, place + size
                count += 1
            place += size
        if inside:
            ends[count] = place
            count += 1
        for i in range(count):
            bits = np.uint64(0xCBF29CE484222325)  # FNV-1a
            for k in range(starts[i], ends[i]):
                bits = (bits ^ np.uint64(text[k])) * np.uint64(0x100000001B3)
            hashes[i] = mixed(bits)
        at = ngram_keys(hashes, count, order, buckets, keys, at)
        for i in range(count):
            if high > 0:
                at = char_keys(text, starts[i], ends[i], low, high, buckets, keys, at)
        key_ends[document] = at
        begin = document_ends[document]


@compiled(
    "int32[:], int64[:], int64, int64, int64, int64, uint64[:], uint64[:], int64[:]", mixed, ngram_key, ngram_keys
)  # fmt: skip
def token_keys(ids, document_ends, documents, eos_id, order, buckets, hashes, keys, key_ends):  # type: ignore[no-untyped-def]
    """As `text_keys`, of tokens; line ends are left out, so that n-grams go on over them."""
    begin, at = np.int64(0), np.int64(0)
    for document in range(documents):
        count = np.int64(0)
        for place in range(begin, document_ends[document]):
            if ids[place] != eos_id:
                hashes[count] = mixed(np.uint64(ids[place]) + np.uint64(0x9E3779B97F4A7C15))
                count += 1
        at = ngram_keys(hashes, count, order, buckets, keys, at)
        key_ends[document] = at
        begin = document_ends[document]


@compiled("uint64[:], int64, uint64[:], int32[:], int64, int64, int64, int32[:] -> int64")
def number(keys, count, slots, numbers, capacity, known, learn, out):  # type: ignore[no-untyped-def]
    """The number of each key: looked up, or given to those that are new if `learn`, else -1; how many are known.

    Args:
        slots, numbers: [capacity], a power of two up to 2³²: an open hash table, -1 in `numbers` where it is empty.
    """
    last = np.uint64(capacity - 1)
    for i in range(count):
        # Neighbouring keys must not lie side by side: what is looked for next would run through all of them.
        slot: Any = np.int64((keys[i] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32) & last)
        while numbers[slot] >= 0 and slots[slot] != keys[i]:
            slot = slot + 1 if slot + 1 < capacity else 0
        if numbers[slot] < 0 and learn:
            slots[slot], numbers[slot] = keys[i], known
            known += 1
        out[i] = numbers[slot]
    return known


@compiled("int32[:], int64[:], int64, int32[:], int32[:], float32[:], int64[:] -> int64")
def count_terms(numbers, ends, documents, places, rows, counts, row_ends):  # type: ignore[no-untyped-def]
    """How often each feature stands in each document, in the order of their first time.

    Args:
        numbers: Features, -1 for none.
        ends: [documents], where each one's end.
        places: Room for a number a feature, whatever it holds.
        rows, counts, row_ends: The result.
    """
    begin, at = np.int64(0), np.int64(0)
    for document in range(documents):
        first = at
        for i in range(begin, ends[document]):
            feature = np.int64(numbers[i])
            if feature >= 0:
                place = np.int64(places[feature])
                if place >= first and place < at and rows[place] == feature:
                    counts[place] += np.float32(1)
                else:
                    places[feature] = at
                    rows[at], counts[at] = feature, np.float32(1)
                    at += 1
        row_ends[document] = at
        begin = ends[document]
    return at


@compiled("int32[:], float32[:], int64[:], int64, float32[:], int64")
def weigh(rows, counts, ends, documents, idf, logarithmic):  # type: ignore[no-untyped-def]
    """Turn counts into weights, in place: tf-idf of length 1 if `logarithmic`, else shares that sum to one."""
    begin = np.int64(0)
    for document in range(documents):
        total = np.float64(0)
        for i in range(begin, ends[document]):
            if logarithmic:
                counts[i] = (np.float32(1) + np.log(counts[i])) * idf[rows[i]]
                total += np.float64(counts[i]) * np.float64(counts[i])
            else:
                total += np.float64(counts[i])
        scale = np.float32(1 / (np.sqrt(total) if logarithmic else total)) if total > 0 else np.float32(0)
        for i in range(begin, ends[document]):
            counts[i] *= scale
        begin = ends[document]


__all__ = ["count_terms", "mixed", "number", "text_keys", "token_keys", "weigh"]
