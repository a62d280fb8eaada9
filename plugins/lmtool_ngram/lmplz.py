"""What `lmplz` counts differently, so that models can be compared to the last digit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_ngram.training_text import TrainingText


def lmplz_corrections(text: TrainingText, order: int) -> Iterator[tuple[int, int]]:
    """For each order below the highest, one n-gram that `lmplz` counts differently: (adjusted count, the one it takes).

    `lmplz` forms its counts of counts while it reads the n-grams sorted from their last word to their first, words
    numbered as they appear in the text, and takes the plain count of the very last one instead of the adjusted count.
    On a large vocabulary this moves a discount in the fourth digit; whoever compares models wants it moved alike.
    """
    appears = _first_places(text)
    contexts = _contexts(text, int(appears.argmax()), order - 1)
    for n in range(1, order):
        before = contexts[:, -n]
        yield len(np.unique(before)), len(contexts)
        last = before[appears[before].argmax()]
        if last == text.eos_id + 1:  # an n-gram that starts a line has its plain count anyway, and so has what it ends
            return
        contexts = contexts[before == last]


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


def _contexts(text: TrainingText, word: int, length: int) -> np.ndarray:
    """int32 [M, length]: the words before each occurrence of a word; 0 before the text."""
    found = [np.zeros((0, length), dtype=np.int32)]
    before = np.zeros(length, dtype=np.int32)
    for number, words in enumerate(text.words(0)):
        padded = np.concatenate([before, words])
        ends = np.flatnonzero(words == word)
        ends = ends[(ends > 0) | (number > 0)]  # the end of a line before the first is no word of the text
        found.append(padded[ends[:, None] + np.arange(length)])
        before = padded[len(words) :]
    return np.concatenate(found)


__all__ = ["lmplz_corrections"]
