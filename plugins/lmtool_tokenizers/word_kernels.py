"""The loops of `lmtool_tokenizers.word_table`, as machine code: bytes of UTF-8 to words, words to ids.

Text is read eight bytes at a time. A word's key is its bytes, if there are no more than eight of them, or a hash. The
table is open-addressing: the key says in which slot to look first, the next ones follow. A slot is two numbers: the
key, and the word's length (upper 32 bits) with its id plus one (lower 32 bits), which is 0 if the slot is free. A word
of more than eight bytes is compared in full before it is believed to be the same: nothing is approximate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lmtool.compiled import compiled

PADDING = 16
"""Bytes behind the last one of a text that may be looked at."""

CLASSES = np.zeros(256, np.uint8)
"""By byte: 0 in a word, 1 white space, 2 the first of a letter that may be white space."""
CLASSES[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = 1
CLASSES[[0xC2, 0xE1, 0xE2, 0xE3]] = 2

_PRIME = 0x9E3779B97F4A7C15
_HIGH_BITS, _SPACES = 0x8080808080808080, 0x2121212121212121
_PLACES = 0x0001020304050607
"""Times a power of 256, this has in its highest byte the exponent."""


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


def eight_bytes(eights: Any, i: Any) -> Any:
    """The bytes i to i + 7 as a number, the first the lowest. `eights` holds those at every eighth."""
    place, shift = i >> 3, np.uint64(8 * (i & 7))
    # In two steps: a shift by 64 would be none.
    return (eights[place] >> shift) | ((eights[place + 1] << (np.uint64(56) - shift)) << np.uint64(8))


def first_bytes(eight: Any, length: Any) -> Any:
    """So many of eight bytes, zeros instead of the others."""
    return eight if length >= 8 else eight & ((np.uint64(1) << np.uint64(8 * length)) - np.uint64(1))


def next_mark(eight: Any) -> Any:
    """Which of eight bytes is the first that may be white space: a space or less, or not ASCII; 8 if none is."""
    marks = ((eight - np.uint64(_SPACES)) | eight) & np.uint64(_HIGH_BITS)
    if marks == 0:
        return 8
    lowest = (marks & (~marks + np.uint64(1))) >> np.uint64(7)
    return np.int64((lowest * np.uint64(_PLACES)) >> np.uint64(56))


def chain(key: Any, eight: Any) -> Any:
    """A hash, continued."""
    return (((key ^ (key >> np.uint64(32))) * np.uint64(_PRIME)) ^ eight) * np.uint64(_PRIME)


def home(key: Any, bits: Any) -> Any:
    """The slot where a key is looked for first."""
    key = key * np.uint64(_PRIME)
    return np.int64(((key ^ (key >> np.uint64(32))) * np.uint64(_PRIME)) >> np.uint64(64 - bits))


@compiled(
    "uint8[:], uint64[:], int64, uint8[:], uint64[:], int64[:], int64[:], int64, int64[:]",
    white_space,
    eight_bytes,
    first_bytes,
    next_mark,
    chain,
)
def split(
    data: Any, eights: Any, size: Any, classes: Any, keys: Any, begins: Any, lengths: Any, most: Any, progress: Any
) -> None:
    """The next words of a text, each line's end among them as one without bytes.

    Args:
        data, size: Text that ends with a line's end, and padding.
        eights: The same memory, as numbers of eight bytes.
        classes: `CLASSES`.
        keys, begins, lengths: Are filled: of each word its key, where it begins, its bytes.
        most: Words that these have room for.
        progress: [2]: the byte to go on at, which is `size` at the end; how many words were found.
    """
    i = progress[0]
    count = 0
    while i < size and count < most - 1:  # a word and the end of its line
        begin = i
        eight = first = eight_bytes(eights, i)
        mark = next_mark(eight)
        white = 0
        while white == 0:
            i += mark
            if mark < 8:
                is_space = (eight >> np.uint64(8 * mark)) & np.uint64(0xFF) == 0x20
                white = 1 if is_space else white_space(data, i, classes)
                if white:
                    break
                i += 1  # a letter that is not ASCII, or a control character
            eight = eight_bytes(eights, i)
            mark = next_mark(eight)
        if i > begin:
            key = first_bytes(first, i - begin)
            for k in range(begin + 8, i, 8):
                key = chain(key, first_bytes(eight_bytes(eights, k), i - k))
            keys[count] = key
            begins[count] = begin
            lengths[count] = i - begin
            count += 1
        if data[i] == 0x0A:
            lengths[count] = 0
            count += 1
        i += white
    progress[0] = i
    progress[1] = count


def slot_of(
    slot: Any, key: Any, data: Any, begin: Any, length: Any, slots: Any, bits: Any, letters: Any, starts: Any
) -> Any:
    """The slot that holds a word, or the free one where it would go.

    Args:
        slot: Its `home`.
        key, data, begin, length: The word.
        slots, bits: The table, 2**bits slots, one of them free at least.
        letters, starts: The known words, a line's end after each: word i is `letters[starts[i]:starts[i + 1] - 1]`.
    """
    mask = (1 << bits) - 1
    while slots[2 * slot + 1] != 0:
        if slots[2 * slot] == key and np.int64(slots[2 * slot + 1] >> np.uint64(32)) == length:
            if length <= 8:
                return slot
            first = starts[np.int64(slots[2 * slot + 1] & np.uint64(0xFFFFFFFF)) - 1]
            k = 0
            while k < length and data[begin + k] == letters[first + k]:
                k += 1
            if k == length:
                return slot
        slot = (slot + 1) & mask
    return slot


@compiled(
    "uint8[:], uint64[:], int64[:], int64[:], int64, uint64[:], int64, uint8[:], int64[:], int64, int32[:]",
    home,
    slot_of,
)
def look_up(
    data: Any,
    keys: Any,
    begins: Any,
    lengths: Any,
    count: Any,
    slots: Any,
    bits: Any,
    letters: Any,
    starts: Any,
    unknown: Any,
    ids: Any,
) -> None:
    """The ids of words from `split`: 0 for a line's end, `unknown` for those that the table lacks."""
    for n in range(count):
        ids[n] = 0
        if lengths[n]:
            slot = slot_of(home(keys[n], bits), keys[n], data, begins[n], lengths[n], slots, bits, letters, starts)
            ids[n] = np.int64(slots[2 * slot + 1] & np.uint64(0xFFFFFFFF)) - 1 if slots[2 * slot + 1] else unknown


@compiled(
    "uint8[:], uint64[:], int64[:], int64[:], int64, int64, uint64[:], int64, uint8[:], int64, int64[:], int64,"
    "int64[:], int64[:] -> int64",
    home,
    slot_of,
)
def learn(
    data: Any,
    keys: Any,
    begins: Any,
    lengths: Any,
    offset: Any,
    count: Any,
    slots: Any,
    bits: Any,
    letters: Any,
    room: Any,
    starts: Any,
    limit: Any,
    known: Any,
    counts: Any,
) -> Any:
    """Count words from `split` and make those that are new known while there is room; returns how far it came.

    Args:
        data, keys, begins, lengths, offset, count: The words, from one of them on.
        slots, bits, letters, starts: As in `slot_of`; what is new is added.
        room: Bytes that `letters` can hold.
        limit: Words that the table may hold.
        known: [1], the words that it holds; is raised.
        counts: By word; are raised.
    """
    for n in range(offset, count):
        length = lengths[n]
        if length:
            slot = slot_of(home(keys[n], bits), keys[n], data, begins[n], length, slots, bits, letters, starts)
            if slots[2 * slot + 1] == 0:
                word = known[0]
                first = starts[word]
                if word == limit or first + length >= room:
                    return n
                for k in range(length):
                    letters[first + k] = data[begins[n] + k]
                letters[first + length] = 0x0A
                starts[word + 1] = first + length + 1
                slots[2 * slot] = keys[n]
                slots[2 * slot + 1] = (np.uint64(length) << np.uint64(32)) | np.uint64(word + 1)
                known[0] = word + 1
            counts[np.int64(slots[2 * slot + 1] & np.uint64(0xFFFFFFFF)) - 1] += 1
    return count


@compiled("uint64[:], int64, uint64[:], int64[:], int64, int64", eight_bytes, first_bytes, chain, home)
def insert(slots: Any, bits: Any, eights: Any, starts: Any, begin: Any, end: Any) -> None:
    """Put the words `begin` to `end`, all different, into a table that lacks them; `eights` hold the letters."""
    mask = (1 << bits) - 1
    for word in range(begin, end):
        first, length = starts[word], starts[word + 1] - starts[word] - 1
        key = first_bytes(eight_bytes(eights, first), length)
        for k in range(8, length, 8):
            key = chain(key, first_bytes(eight_bytes(eights, first + k), length - k))
        slot = home(key, bits)
        while slots[2 * slot + 1] != 0:
            slot = (slot + 1) & mask
        slots[2 * slot] = key
        slots[2 * slot + 1] = (np.uint64(length) << np.uint64(32)) | np.uint64(word + 1)


__all__ = ["CLASSES", "PADDING", "insert", "learn", "look_up", "split"]
