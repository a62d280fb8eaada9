"""The loops of `lmtool_tokenizers.word_table`, as machine code: bytes of UTF-8 to words, words to ids.

The table is open-addressing: a word's hash says in which slot to look first, the next ones follow. A slot is 0 if it is
free; otherwise its upper 32 bits are those of the hash, its lower ones the id plus one. What a slot says is believed
only when the word's bytes have been compared: nothing is approximate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lmtool.compiled import compiled

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


_ASCII_SPACE = (9, 10, 11, 12, 13, 28, 29, 30, 31, 32)

CLASSES = np.zeros(256, np.uint8)
"""By byte: 0 in a word, 1 white space, 2 the first of a letter that may be white space."""
CLASSES[list(_ASCII_SPACE)] = 1
CLASSES[[0xC2, 0xE1, 0xE2, 0xE3]] = 2


def white_space(data: Any, i: Any, classes: Any) -> Any:
    """Bytes of the white space, in the sense of `str.split`, that begins at a byte; 0 if none does.

    A letter's first byte says how many follow it, so what is looked at is there.
    """
    kind = classes[data[i]]
    if kind < 2:
        return np.int64(kind)
    first, second = data[i], data[i + 1]
    if first == 0xC2:  # U+0085, U+00A0
        return 2 if second == 0x85 or second == 0xA0 else 0
    third = data[i + 2]
    # U+1680, U+205F, U+3000
    found = first == 0xE1 and second == 0x9A and third == 0x80
    found |= first == 0xE2 and second == 0x81 and third == 0x9F
    found |= first == 0xE3 and second == 0x80 and third == 0x80
    # U+2000 to U+200A, U+2028, U+2029, U+202F
    found |= first == 0xE2 and second == 0x80 and (third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
    return 3 if found else 0


def slot_of(data: Any, begin: Any, end: Any, mixed: Any, slots: Any, bits: Any, letters: Any, starts: Any) -> Any:
    """The slot that holds the word `data[begin:end]`, or the free one where it would go.

    Args:
        data, begin, end: The word.
        mixed: Its hash.
        slots, bits: The table, 2**bits slots, one of them free at least.
        letters, starts: The known words, a line's end after each: word i is `letters[starts[i]:starts[i + 1] - 1]`.
    """
    mask = (1 << bits) - 1
    slot = np.int64(mixed >> np.uint64(64 - bits))
    tag = mixed & _LOW
    while slots[slot] != 0:
        if slots[slot] >> _HALF == tag:
            word = np.int64(slots[slot] & _LOW) - 1
            first = starts[word]
            if starts[word + 1] - first == end - begin + 1:
                k = begin
                while k < end and data[k] == letters[first + k - begin]:
                    k += 1
                if k == end:
                    return slot
        slot = (slot + 1) & mask
    return slot


@compiled(
    "uint8[:], int64, uint8[:], uint64[:], int64, uint8[:], int64[:], int64, int32[:] -> int64", white_space, slot_of
)
def encode(
    data: Any, size: Any, classes: Any, slots: Any, bits: Any, letters: Any, starts: Any, unknown: Any, ids: Any
) -> Any:
    """Ids of words, 0 for each line's end, `unknown` for words that the table lacks; returns their number.

    Args:
        data, size: Text that ends with a line's end.
        classes: `CLASSES`.
        slots, bits, letters, starts: As in `slot_of`.
        unknown: An id.
        ids: Room for as many as there may be.
    """
    count = 0
    i = 0
    while i < size:
        white = white_space(data, i, classes)
        if white:
            if data[i] == 0x0A:
                ids[count] = 0
                count += 1
            i += white
            continue
        begin = i
        mixed = _PRIME
        while white_space(data, i, classes) == 0:
            mixed = (mixed ^ np.uint64(data[i])) * _PRIME
            i += 1
        mixed = (mixed ^ (mixed >> _HALF)) * _PRIME
        slot = slot_of(data, begin, i, mixed, slots, bits, letters, starts)
        ids[count] = unknown if slots[slot] == 0 else np.int64(slots[slot] & _LOW) - 1
        count += 1
    return count


@compiled(
    "uint8[:], int64, int64, uint8[:], uint64[:], int64, uint8[:], int64, int64[:], int64, int64[:], int64[:] -> int64",
    white_space,
    slot_of,
)
def count(
    data: Any,
    offset: Any,
    size: Any,
    classes: Any,
    slots: Any,
    bits: Any,
    letters: Any,
    room: Any,
    starts: Any,
    limit: Any,
    known: Any,
    counts: Any,
) -> Any:
    """Count words and make those that are new known, until there is no more room; returns how far it came.

    Args:
        data, size: Text that ends with a line's end.
        offset: Where to begin.
        classes: `CLASSES`.
        slots, bits, letters, starts: As in `slot_of`; what is new is added.
        room: Bytes that `letters` can hold.
        limit: Words that the table may hold.
        known: [1], the words that it holds; is raised.
        counts: By word; are raised.
    """
    i = offset
    while i < size:
        white = white_space(data, i, classes)
        if white:
            i += white
            continue
        begin = i
        mixed = _PRIME
        while white_space(data, i, classes) == 0:
            mixed = (mixed ^ np.uint64(data[i])) * _PRIME
            i += 1
        mixed = (mixed ^ (mixed >> _HALF)) * _PRIME
        slot = slot_of(data, begin, i, mixed, slots, bits, letters, starts)
        if slots[slot] == 0:
            word = known[0]
            first = starts[word]
            if word == limit or first + i - begin >= room:
                return begin
            for k in range(i - begin):
                letters[first + k] = data[begin + k]
            letters[first + i - begin] = 0x0A
            starts[word + 1] = first + i - begin + 1
            slots[slot] = ((mixed & _LOW) << _HALF) | np.uint64(word + 1)
            known[0] = word + 1
        counts[np.int64(slots[slot] & _LOW) - 1] += 1
    return size


@compiled("uint64[:], int64, uint8[:], int64[:], int64, int64")
def insert(slots: Any, bits: Any, letters: Any, starts: Any, begin: Any, end: Any) -> Any:
    """Put the words `begin` to `end`, all different, into a table that lacks them."""
    mask = (1 << bits) - 1
    for word in range(begin, end):
        mixed = _PRIME
        for k in range(starts[word], starts[word + 1] - 1):
            mixed = (mixed ^ np.uint64(letters[k])) * _PRIME
        mixed = (mixed ^ (mixed >> _HALF)) * _PRIME
        slot = np.int64(mixed >> np.uint64(64 - bits))
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = ((mixed & _LOW) << _HALF) | np.uint64(word + 1)


__all__ = ["CLASSES", "count", "encode", "insert"]
