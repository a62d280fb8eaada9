"""The loop that reads lines of n-grams, and the table that it looks their words up in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL, DIFFERENT, NO_NUMBER, POSITIVE, FEW_WORDS, UNKNOWN_WORD, NO_BACKOFF = range(7)
"""Why `parse_rows` stopped: all was read; the next line is none of these; or something is wrong with it."""
PROBLEMS = {
    NO_NUMBER: "'{}' does not begin with a number",
    POSITIVE: "a probability of more than one: '{}'",
    FEW_WORDS: "too few words: '{}'",
    UNKNOWN_WORD: "'{}' is not among the words of order 1",
    NO_BACKOFF: "'{}' is wanted to be a back-off, or not to be there",
}

_POWERS = np.append(10.0 ** np.arange(64), np.inf)
"""Of ten; and infinity. The loop has no other floating-point constants."""
_SEED, _PRIME = 1469598103934665603, 1099511628211  # of the FNV hash


class WordTable:
    """Words to ids, for `parse_rows`; a hash table with open addressing.

    Args:
        words: All different.
        ids: int32 [len(words)], anything.
    """

    def __init__(self, words: Sequence[bytes], ids: np.ndarray) -> None:
        self.text = np.frombuffer(b"".join(words) or b"\0", dtype=np.uint8)
        self.ends = np.cumsum([0, *map(len, words)])
        self.ids = ids
        self.hashes = np.zeros(len(words), dtype=np.int64)
        self.slots = np.full(1 << (2 * len(words)).bit_length(), -1, dtype=np.int32)
        _insert(self.text, self.ends, len(words), self.hashes, self.slots, len(self.slots) - 1)


def parse_rows(
    text: np.ndarray,
    start: int,
    stop: int,
    order: int,
    table: WordTable,
    ids: np.ndarray,
    log_probs: np.ndarray,
    log_backoffs: np.ndarray,
    state: np.ndarray,
) -> int:
    """Read lines of n-grams as long as there are some.

    Args:
        text: uint8, of which `start` to `stop` are whole lines.
        start: Where to begin.
        stop: Where to end, if no line is different before.
        order: Words in a line.
        table: Of the words.
        ids: int32, gets `order` ids a line.
        log_probs: float64, gets the first number of each line.
        log_backoffs: float64, gets the last, 0 where there is none.
        state: int64 [4], gets where the next line begins, why it stopped, and where what is wrong begins and ends.

    Returns:
        How many lines were read.
    """
    rows: int = _parse(
        *(text, start, stop, order, table.text, table.ends, table.hashes, table.slots, len(table.slots) - 1),
        *(table.ids, _POWERS, ids, log_probs, log_backoffs, state),
    )
    return rows


@compiled("uint8[:], int64[:], int64, int64[:], int32[:], int64")
def _insert(text: Any, ends: Any, count: int, hashes: Any, slots: Any, mask: int) -> None:
    for word in range(count):
        code = _SEED
        for i in range(ends[word], ends[word + 1]):
            code = (code ^ text[i]) * _PRIME
        hashes[word] = code
        slot = (code ^ (code >> 32)) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = word


def _read_number(text: Any, at: int, powers: Any, numbers: Any, row: int) -> int:
    """Where the number that begins here ends; -1 if there is none."""
    below_zero = text[at] == 45
    if text[at] == 45 or text[at] == 43:
        at += 1
    if (text[at] | 32) == 105 and (text[at + 1] | 32) == 110 and (text[at + 2] | 32) == 102:
        numbers[row] = 0.0 - powers[64] if below_zero else powers[64]
        return at + 3
    digits, exponent, any_digit, after_point = 0, 0, False, False
    while True:
        byte = text[at]
        if 48 <= byte <= 57:
            any_digit = True
            if digits < 100000000000000000:
                digits = digits * 10 + (byte - 48)
                exponent -= after_point
            else:  # more than a float64 can hold
                exponent += not after_point
        elif byte == 46 and not after_point:
            after_point = True
        else:
            break
        at += 1
    if not any_digit:
        return -1
    if (text[at] | 32) == 101:
        negative = text[at + 1] == 45
        at += 2 if negative or text[at + 1] == 43 else 1
        more = 0
        if not 48 <= text[at] <= 57:
            return -1
        while 48 <= text[at] <= 57:
            more = min(more * 10 + (text[at] - 48), 9999)
            at += 1
        exponent += -more if negative else more
    value = float(digits)
    while exponent < -60 and value > 0.0:
        value /= powers[60]
        exponent += 60
    if exponent < 0:
        value /= powers[min(-exponent, 60)]
    else:
        value *= powers[min(exponent, 60)]
    numbers[row] = 0.0 - value if below_zero else value
    return at


@compiled(
    "uint8[:], int64, int64, int64, uint8[:], int64[:], int64[:], int32[:], int64, int32[:], float64[:],"
    "int32[:], float64[:], float64[:], int64[:] -> int64",
    _read_number,
)
def _parse(
    text: Any,
    at: int,
    stop: int,
    order: int,
    words: Any,
    ends: Any,
    hashes: Any,
    slots: Any,
    mask: int,
    word_ids: Any,
    powers: Any,
    ids: Any,
    log_probs: Any,
    log_backoffs: Any,
    state: Any,
) -> int:
    """Spaces are 0, 9, 13 and 32; every line ends in 10, so that no loop runs past it."""
    row = 0
    state[1] = FULL
    while at < stop:
        line = at
        state[0], state[2] = line, line
        while text[at] == 32 or text[at] == 9 or text[at] == 13 or text[at] == 0:
            at += 1
        if text[at] == 10 or text[at] == 92:
            state[1] = DIFFERENT
            return row
        end = at
        while text[end] != 10:
            end += 1
        state[3] = end
        at = _read_number(text, at, powers, log_probs, row)
        if at < 0 or not (text[at] == 32 or text[at] == 9):
            state[1] = NO_NUMBER
            return row
        if log_probs[row] > 0.0:
            state[1] = POSITIVE
            return row
        for column in range(order):
            while text[at] == 32 or text[at] == 9 or text[at] == 13 or text[at] == 0:
                at += 1
            begin, code = at, _SEED
            while text[at] != 32 and text[at] != 9 and text[at] != 13 and text[at] != 0 and text[at] != 10:
                code = (code ^ text[at]) * _PRIME
                at += 1
            if at == begin:
                state[1] = FEW_WORDS
                return row
            slot, word = (code ^ (code >> 32)) & mask, -1
            while slots[slot] >= 0:
                other = slots[slot]
                if hashes[other] == code and ends[other + 1] - ends[other] == at - begin:
                    i = 0
                    while i < at - begin and words[ends[other] + i] == text[begin + i]:
                        i += 1
                    if i == at - begin:
                        word = other
                        break
                slot = (slot + 1) & mask
            if word < 0:
                state[1], state[2], state[3] = UNKNOWN_WORD, begin, at
                return row
            ids[row * order + column] = word_ids[word]
        while text[at] == 32 or text[at] == 9 or text[at] == 13 or text[at] == 0:
            at += 1
        log_backoffs[row] = 0.0
        if text[at] != 10:
            begin = at
            at = _read_number(text, at, powers, log_backoffs, row)
            if at >= 0:
                while text[at] == 32 or text[at] == 9 or text[at] == 13 or text[at] == 0:
                    at += 1
            if at < 0 or text[at] != 10:
                state[1], state[2] = NO_BACKOFF, begin
                return row
        at += 1
        row += 1
    state[0] = at
    return row


__all__ = ["DIFFERENT", "PROBLEMS", "WordTable", "parse_rows"]
