"""The words of an ARPA file as a tokenizer's ids, and what becomes of the probability of those that have none.

Tokens that the file lacks are unknown words to whoever made it: together with `<unk>` they share what the file gives to
`<unk>`, in equal parts. Words that the tokenizer lacks are unknown words to us: what they have at order 1 goes to
`<unk>`, too; longer n-grams with them are left out. So everything still sums to one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from lmtool_ngram.arpa import words as arpa_words
from lmtool_ngram.arpa.kernels import WordTable
from lmtool_ngram.arpa.tables import Order, Table

if TYPE_CHECKING:
    from lmtool.api import Tokenizer
    from lmtool_ngram.arpa.parsing import ArpaFile, Ngrams, Unigrams

logger = logging.getLogger("lmtool.ngram")

SPECIAL = (arpa_words.START, arpa_words.END, arpa_words.UNKNOWN)
LEFT_OUT = -1
"""In place of the id of a word that the tokenizer lacks."""


class Matching:
    """Which word of a file is which token.

    Args:
        unigrams: Of the file.
        tokenizer: Whose ids are wanted.
    """

    def __init__(self, unigrams: Unigrams, tokenizer: Tokenizer) -> None:
        self._unigrams = unigrams
        self.vocab_size, self.eos_id, self.unk_id = tokenizer.vocab_size, tokenizer.eos_id, tokenizer.unk_id
        self._start = self.vocab_size
        known = {name: i for i, name in enumerate(arpa_words.names(tokenizer))} | {arpa_words.START: self._start}
        words = [_plain(word) for word in unigrams.words]
        self._ids = np.array([known.get(word, LEFT_OUT) for word in words], dtype=np.int32)
        self._has_unknown = arpa_words.UNKNOWN in words
        self._unknown_words = sum(word != arpa_words.UNKNOWN for word, i in zip(words, self._ids, strict=True) if i < 0)
        self._ngrams_left_out = 0

    def check_different(self, file: ArpaFile) -> None:
        """Raise DataError if a word stands in the file twice."""
        lines: dict[str, int] = {}
        for line, word in enumerate(map(_plain, self._unigrams.words), start=self._unigrams.first_line):
            if (before := lines.setdefault(word, line)) != line:
                file.fail(f"'{word}' is in line {before} already", line)

    def word_table(self) -> WordTable:
        """For the longer n-grams; a special name may be in another case there."""
        ids: dict[bytes, int] = {}
        for word, i in zip(self._unigrams.words, self._ids.tolist(), strict=True):
            if word.lower() in SPECIAL:
                ids |= {word.lower().encode(): i, word.upper().encode(): i}
            ids[word.encode()] = i
        return WordTable(list(ids), np.array(list(ids.values()), dtype=np.int32))

    def table(self) -> tuple[Table, np.ndarray]:
        """The first order, and bool [V]: whose probability is not that of the file."""
        log_probs, log_backoffs = np.full(self.vocab_size, -np.inf), np.zeros(self.vocab_size)
        is_token = (self._ids >= 0) & (self._ids != self._start)
        log_probs[self._ids[is_token]] = self._unigrams.log_probs[is_token]
        log_backoffs[self._ids[is_token]] = self._unigrams.log_backoffs[is_token]
        log_backoffs[self.eos_id] = self._unigrams.log_backoffs[self._ids == self._start].sum()
        left_out = float(np.exp(self._unigrams.log_probs[self._ids == LEFT_OUT]).sum())
        is_lacking = np.ones(self.vocab_size, dtype=bool)
        is_lacking[self._ids[is_token]] = False
        changed = _share(log_probs, left_out, is_lacking, self.unk_id)
        starts = np.array([0, self.vocab_size])
        return Table(np.arange(self.vocab_size, dtype=np.int32), starts, log_probs, log_backoffs), changed

    def order(self, ngrams: Ngrams) -> Order:
        """One of the longer orders.

        What can never be asked for is left out: `<s>` elsewhere than in front, `</s>` elsewhere than at the end.
        """
        ids = ngrams.ids
        possible = (ids[:, 1:] != self._start).all(axis=1) & (ids[:, :-1] != self.eos_id).all(axis=1)
        possible &= (ids[:, :-1] != LEFT_OUT).all(axis=1)
        kept = possible & (ids[:, -1] != LEFT_OUT)
        shortened = ids[possible & ~kept, :-1]
        shortened[shortened == self._start] = self.eos_id
        if kept.all():
            ids[ids == self._start] = self.eos_id
            return Order(ids, ngrams.log_probs, ngrams.log_backoffs, shortened, ngrams.first_line)
        rows = np.flatnonzero(kept)
        self._ngrams_left_out += len(ids) - len(rows)
        ids = ids[rows]
        ids[ids == self._start] = self.eos_id
        return Order(ids, ngrams.log_probs[rows], ngrams.log_backoffs[rows], shortened, ngrams.first_line, rows)

    def warn(self, name: str) -> None:
        """Say what does not fit."""
        if self._unknown_words:
            words, size = self._unknown_words, len(self._ids)
            logger.warning("%s: %d of %d words are not in the vocabulary and count as unknown", name, words, size)
        if self._ngrams_left_out:
            logger.warning("%s: %d n-grams that no text can ask for are left out", name, self._ngrams_left_out)
        if lacking := self.vocab_size - len(np.unique(self._ids[(self._ids >= 0) & (self._ids != self._start)])):
            shared = "share the probability of <unk>" if self._has_unknown else "have probability zero: it has no <unk>"
            logger.warning(
                "%s lacks %d of %d tokens of the vocabulary, which %s", name, lacking, self.vocab_size, shared
            )


def _plain(word: str) -> str:
    """A special name in lower case; any other word as it is."""
    return lower if (lower := word.lower()) in SPECIAL else word


def _share(log_probs: np.ndarray, left_out: float, is_lacking: np.ndarray, unk_id: int | None) -> np.ndarray:
    """Distribute in place what `<unk>` and the words that are left out have; bool [V], what was changed."""
    sharing = is_lacking.copy()
    if unk_id is not None:
        sharing[unk_id] = True
    if left_out == 0 and not (unk_id is not None and (is_lacking & (np.arange(len(is_lacking)) != unk_id)).any()):
        return np.zeros(len(log_probs), dtype=bool)
    if not sharing.any():
        log_probs -= np.log1p(-left_out)
        return np.ones(len(log_probs), dtype=bool)
    mass = left_out + (float(np.exp(log_probs[unk_id])) if unk_id is not None else 0.0)
    log_probs[sharing] = np.log(mass / sharing.sum()) if mass else -np.inf
    return sharing


__all__ = ["SPECIAL", "Matching"]
