"""What `lmplz` counts differently, so that models can be compared to the last digit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_ngram.estimation.text import TrainingText


def lmplz_corrections(text: TrainingText, order: int) -> Iterator[tuple[int, int]]:
    """For each order below the highest, one n-gram that `lmplz` counts differently: (adjusted count, the one it takes).

    `lmplz` forms its counts of counts while it reads the n-grams sorted from their last word to their first, words
    numbered as they appear in the text, and takes the plain count of the very last one instead of the adjusted count.
    On a large vocabulary this moves a discount in the fourth digit; whoever compares models wants it moved alike.
    """
    appears = _first_places(text)
    suffix = [int(appears.argmax())]
    for _ in range(1, order):
        before, times = _words_before(text, suffix)
        yield len(before), times
        last = int(before[appears[before].argmax()])
        if last == text.eos_id + 1:  # an n-gram that starts a line has its plain count anyway, and so has what it ends
            return
        suffix.insert(0, last)


def _first_places(text: TrainingText) -> np.ndarray:
    """int64 [V + 1]: where each word, an id plus one, appears first; -1 if nowhere, 0 for the end of a line."""
    appears = np.full(text.vocab_size + 1, -1, dtype=np.int64)
    done = 0
    for words in text.words(0):
        _note_first(words, len(words), done, appears)
        done += len(words)
    appears[text.eos_id + 1] = 0  # the end of a line is numbered before all words
    return appears


@compiled("int32[:], int64, int64, int64[:]")
def _note_first(words, length, done, appears):  # type: ignore[no-untyped-def]
    for i in range(length):
        if appears[words[i]] < 0 and words[i] > 0:
            appears[words[i]] = done + i


def _words_before(text: TrainingText, suffix: list[int]) -> tuple[np.ndarray, int]:
    """The different words before some words, ids plus one, and how often these stand behind a word."""
    seen = np.zeros(text.vocab_size + 1, dtype=np.uint8)
    wanted = np.array(suffix, dtype=np.int32)
    times = 0
    for words in text.words(len(suffix)):
        times += _note_before(words, len(words) - len(suffix), wanted, len(suffix), seen)
    return np.flatnonzero(seen), times


@compiled("int32[:], int64, int32[:], int64, uint8[:] -> int64")
def _note_before(words, positions, suffix, length, seen):  # type: ignore[no-untyped-def]
    times = 0
    for i in range(positions):
        column = 0
        while column < length and words[i + 1 + column] == suffix[column]:
            column += 1
        if column == length:
            seen[words[i]] = 1
            times += 1
    return times


__all__ = ["lmplz_corrections"]
