r"""An n-gram model as text in the ARPA format, which KenLM, SRILM and most other tools read.

    \data\                     how many n-grams of each order
    ngram 1=3
    …
    \1-grams:
    -0.5 → the → -0.25         log10 of the probability, the words, log10 of the back-off (→ is a tab)
    …
    \end\

Numbers have nine significant digits, so that reading them gives the same float32 again. An n-gram that starts a line
begins with `<s>`, which has a line of its own for its back-off; one that ends a line ends in `</s>`. See `arpa_words`
for how tokens are written.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lmtool.compiled import compiled
from lmtool_ngram.arpa import words as arpa_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmtool.api import Tokenizer
    from lmtool_ngram.tables.trie import Level

BLOCK = 1 << 16
"""N-grams that are written at once."""
LOG_ZERO = -99.0
"""What the format has for the logarithm of zero."""

_NUMBER_BYTES = 72  # a sign, `0.`, up to 53 zeros and nine digits
_POWERS = np.append(10.0 ** np.arange(64), 0.5)
"""Of ten; and one half, to round by. The loop has no other floating-point constants."""


def write(file: IO[bytes], levels: Sequence[Level], tokenizer: Tokenizer) -> None:
    """Write a model in blocks; memory is bounded by the vocabulary and `BLOCK` n-grams.

    Args:
        file: Takes bytes.
        levels: Order 1 first.
        tokenizer: Whose ids the model has.
    """
    words = _Words(tokenizer)
    counts = [len(words.unigrams), *map(len, levels[1:])]
    header = "".join(f"ngram {n}={count}\n" for n, count in enumerate(counts, start=1))
    file.write(f"\\data\\\n{header}".encode())
    for n, level in enumerate(levels, start=1):
        file.write(f"\n\\{n}-grams:\n".encode())
        blocks = _unigrams(level, words) if n == 1 else _ngrams(levels[:n], words)
        for ids, log_probs, log_backoffs in blocks:
            file.write(words.format(ids, log_probs, log_backoffs))
    file.write(b"\n\\end\\\n")


class _Words:
    """The names of ids as bytes. Two more ids are used: V for `<s>`, V + 1 for `<unk>`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        size, eos_id, unk_id = tokenizer.vocab_size, tokenizer.eos_id, tokenizer.unk_id
        encoded = [name.encode() for name in (*arpa_words.names(tokenizer), arpa_words.START, arpa_words.UNKNOWN)]
        self._text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)])
        self._lengths = np.diff(self._ends)
        self.eos_id, self.start_id = eos_id, size
        # Tools refuse, or ask for special leave, if there is no `<unk>`.
        first = [size + 1 if unk_id is None else unk_id, self.start_id, eos_id]
        others = np.setdiff1d(np.arange(size), first)
        self.unigrams = np.concatenate([first, others]).astype(np.int32)

    def format(self, ids: np.ndarray, log_probs: np.ndarray, log_backoffs: np.ndarray | None) -> memoryview:
        """Lines of n-grams.

        Args:
            ids: int32 [M, n].
            log_probs: float [M], nats.
            log_backoffs: float [M], nats; None for the highest order, which has none.
        """
        rows, order = ids.shape
        size = int(self._lengths[ids].sum()) + rows * (order + 2 + 2 * _NUMBER_BYTES)
        out = np.empty(size, dtype=np.uint8)
        probs, backoffs = _log10(log_probs), _log10(np.zeros(0) if log_backoffs is None else log_backoffs)
        end = _format(ids.ravel(), order, probs, backoffs, rows, len(backoffs), self._text, self._ends, _POWERS, out)
        return out[:end].data


def _unigrams(level: Level, words: _Words) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    size = len(level)
    log_probs = np.concatenate([level.log_probs, [-np.inf, -np.inf]])
    log_backoffs = None
    if len(level.log_backoffs):
        log_backoffs = np.concatenate([level.log_backoffs, level.log_backoffs[[words.eos_id]], [0.0]])
        log_backoffs[words.eos_id] = 0.0  # what follows the start of a line follows `<s>`; nothing follows `</s>`
    for start in range(0, size + 2, BLOCK):
        ids = words.unigrams[start : start + BLOCK]
        yield ids[:, None], log_probs[ids], None if log_backoffs is None else log_backoffs[ids]


def _ngrams(levels: Sequence[Level], words: _Words) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    level = levels[-1]
    for start in range(0, len(level), BLOCK):
        block = slice(start, min(start + BLOCK, len(level)))
        ids = _words_of(levels, block)
        ids[:, 0][ids[:, 0] == words.eos_id] = words.start_id
        yield ids, level.log_probs[block], level.log_backoffs[block] if len(level.log_backoffs) else None


def _words_of(levels: Sequence[Level], block: slice) -> np.ndarray:
    """int32 [M, n]: the words of the n-grams in some places of the highest of these orders."""
    ids = np.empty((block.stop - block.start, len(levels)), dtype=np.int32)
    places = np.arange(block.stop - block.start)  # of each n-gram in `block`, which moves to the order below
    for column in reversed(range(1, len(levels))):
        level = levels[column]
        ids[:, column] = level.words[block][places]
        first, last = np.searchsorted(
            level.starts, np.array([block.start, block.stop - 1], level.starts.dtype), "right"
        )
        starts = np.clip(level.starts[first - 1 : last + 1].astype(np.int64), block.start, block.stop)
        below = np.repeat(np.arange(last - first + 1), starts[1:] - starts[:-1])
        places, block = below[places], slice(int(first) - 1, int(last))
    ids[:, 0] = levels[0].words[block][places]
    return ids


def _log10(nats: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.maximum(nats.astype(np.float64) / np.log(10.0), LOG_ZERO)
    return logs


def _put_number(value: Any, powers: Any, out: Any, at: Any) -> Any:
    """Nine significant digits without an exponent, as some readers know none; returns where it ends."""
    if value == 0.0:
        out[at] = 48
        return at + 1
    if value < 0.0:
        out[at] = 45
        at += 1
        value = 0.0 - value
    half, decimals = powers[64], 8
    digits = int(value * powers[decimals] + half)
    while digits > 999999999 and decimals > 0:
        decimals -= 1
        digits = int(value * powers[decimals] + half)
    while digits < 100000000 and decimals < 60:
        decimals += 1
        digits = int(value * powers[decimals] + half)
    while decimals > 0 and digits % 10 == 0:
        digits //= 10
        decimals -= 1
    # From the last digit to the first; those before the point go where their number is known.
    width, rest = 1, digits
    for _ in range(decimals):
        rest //= 10
    whole = rest
    while whole >= 10:
        whole //= 10
        width += 1
    end = at + width
    if decimals > 0:
        end += 1 + decimals
        for i in range(decimals):
            out[end - 1 - i] = 48 + digits % 10
            digits //= 10
        out[at + width] = 46
    for i in range(width):
        out[at + width - 1 - i] = 48 + digits % 10
        digits //= 10
    return end


@compiled(
    "int32[:], int64, float64[:], float64[:], int64, int64, uint8[:], int64[:], float64[:], uint8[:] -> int64",
    _put_number,
)
def _format(
    ids: Any,
    order: int,
    log_probs: Any,
    log_backoffs: Any,
    rows: int,
    with_backoffs: int,
    text: Any,
    ends: Any,
    powers: Any,
    out: Any,
) -> int:
    """Lines of n-grams into `out`; returns their length."""
    at = 0
    for row in range(rows):
        at = _put_number(log_probs[row], powers, out, at)
        for column in range(order):
            out[at] = 32 if column else 9
            at += 1
            word = ids[row * order + column]
            for i in range(ends[word], ends[word + 1]):
                out[at] = text[i]
                at += 1
        if with_backoffs:
            out[at] = 9
            at = _put_number(log_backoffs[row], powers, out, at + 1)
        out[at] = 10
        at += 1
    return at


__all__ = ["BLOCK", "LOG_ZERO", "write"]
