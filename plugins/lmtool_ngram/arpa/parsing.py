"""An ARPA file, read order by order; most of the work is one compiled loop over the bytes of its lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from lmtool.data.sources import read_chunks
from lmtool.errors import DataError
from lmtool_ngram.arpa.kernels import DIFFERENT, PROBLEMS, WordTable, parse_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 22
"""Bytes that are read at once."""
LOG_ZERO = -99.0
"""Logarithms from here down stand for that of zero."""
HIGHEST = 1e38
"""Of a back-off: one that is higher has no float32 in nats."""

_COUNT = re.compile(rb"ngram\s+(\d+)\s*=\s*(\d+)")
_SECTION = re.compile(rb"\\(\d+)-grams:")
_BOM = b"\xef\xbb\xbf"
_SPACES = re.compile(rb"[\0\t\r ]+")


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of one order as they stand in the file; M of them."""

    ids: np.ndarray
    """int32 [M, n], as the `WordTable` has them."""
    log_probs: np.ndarray
    """float64 [M], nats."""
    log_backoffs: np.ndarray
    """float64 [M], nats; 0 where there is none."""
    first_line: int
    """The number of the line where the first one stands; the others follow."""


@dataclass(frozen=True)
class Unigrams:
    """The words of the file; arrays as in `Ngrams`."""

    words: list[str]
    log_probs: np.ndarray
    log_backoffs: np.ndarray
    first_line: int


class ArpaFile:
    """Reads from the front to the end: `unigrams`, then `ngrams` of order 2, 3 …, then `end`.

    Args:
        name: A path, compressed or not.

    Raises:
        DataError: here and later, with file and line, if it cannot be read or is no ARPA file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = 0
        """The number of the last line that was read."""
        self._chunks = read_chunks(name, CHUNK)
        self._buffer, self._at, self._whole = b"", 0, 0
        self.counts = self._read_counts()
        """How many n-grams the file says it has, by order."""

    def unigrams(self) -> Unigrams:
        """The first order; all words are in it."""
        self._open_section(1)
        first_line, words, numbers = self.line + 1, [], []
        while (line := self._next_line()).strip() and not line.startswith(b"\\"):
            fields = _SPACES.split(line.strip(b"\0\t\r "))
            if not 2 <= len(fields) <= 3:
                self.fail(f"a number, a word and perhaps another number are wanted, not {len(fields)} fields")
            words.append(self._decoded(fields[1]))
            numbers.append((self._number(fields[0]), self._number(fields[2]) if len(fields) > 2 else 0.0))
        self._give_back(line)
        self._check_count(1, len(words))
        log_probs, log_backoffs = np.array(numbers, dtype=np.float64).reshape(-1, 2).T
        if (positive := np.flatnonzero(log_probs > 0)).size:
            self.fail("a probability of more than one", first_line + int(positive[0]))
        return Unigrams(words, nats(log_probs), nats(log_backoffs), first_line)

    def ngrams(self, order: int, table: WordTable) -> Ngrams:
        """Those of one order, from 2 on.

        Args:
            order: The next one.
            table: Of all words of the file.
        """
        self._open_section(order)
        first_line = self.line + 1
        parts = list(self._rows(order, table))
        ids, log_probs, log_backoffs = (np.concatenate(one) for one in zip(*parts, strict=True))
        self._check_count(order, len(log_probs))
        return Ngrams(ids.reshape(-1, order), nats(log_probs), nats(log_backoffs), first_line)

    def end(self) -> None:
        """Raise DataError if the file goes on, or was cut short."""
        if (line := self._content()).strip() != b"\\end\\":
            self.fail(f"\\end\\ is wanted, not '{_shown(line)}'")

    def fail(self, problem: str, line: int | None = None) -> NoReturn:
        """Raise DataError with file and line."""
        raise DataError(f"{self.name}: line {line or self.line}: {problem}")

    def _rows(self, order: int, table: WordTable) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        state = np.zeros(4, dtype=np.int64)
        yield np.zeros(0, np.int32), np.zeros(0), np.zeros(0)
        while True:
            if self._at >= self._whole:
                self._fill()
            text = np.frombuffer(self._buffer, dtype=np.uint8)
            capacity = int(np.count_nonzero(text[self._at : self._whole] == ord("\n")))
            ids, log_probs, log_backoffs = np.empty(capacity * order, np.int32), np.empty(capacity), np.empty(capacity)
            rows = parse_rows(text, self._at, self._whole, order, table, ids, log_probs, log_backoffs, state)
            self._at, self.line = int(state[0]), self.line + rows
            if problem := PROBLEMS.get(int(state[1])):
                self.fail(problem.format(_shown(self._buffer[state[2] : state[3]])), self.line + 1)
            if (too_high := np.flatnonzero(log_backoffs[:rows] > HIGHEST)).size:
                self.fail(f"a back-off of more than {HIGHEST:g}", self.line - rows + 1 + int(too_high[0]))
            yield ids[: rows * order], log_probs[:rows], log_backoffs[:rows]
            if state[1] == DIFFERENT:
                return

    def _read_counts(self) -> list[int]:
        """The header. What stands before `\\data\\` is anybody's."""
        while (line := self._next_line(wanted="\\data\\").strip().removeprefix(_BOM)) != b"\\data\\":
            if line and not line.startswith(b"#") and self.line > 100:
                self.fail("no \\data\\ so far: this is no ARPA file")
        counts: list[int] = []
        while match := _COUNT.fullmatch((line := self._content()).strip()):
            if int(match[1]) != len(counts) + 1:
                self.fail(f"the count of order {len(counts) + 1} is wanted, not '{_shown(line)}'")
            counts.append(int(match[2]))
        self._give_back(line)
        if not counts:
            self.fail("how many n-grams there are is wanted, as in 'ngram 1=1000'", self.line + 1)
        return counts

    def _open_section(self, order: int) -> None:
        match = _SECTION.fullmatch((line := self._content()).strip())
        if not match or int(match[1]) != order:
            self.fail(f"\\{order}-grams: is wanted, not '{_shown(line)}'")

    def _check_count(self, order: int, count: int) -> None:
        if count != self.counts[order - 1]:
            self.fail(f"{count} n-grams of order {order} end here, the header says {self.counts[order - 1]}")

    def _number(self, field: bytes) -> float:
        try:
            number = float(field)
            if not number <= HIGHEST:
                raise ValueError
        except ValueError:
            self.fail(f"'{_shown(field)}' is no number")
        return number

    def _decoded(self, word: bytes) -> str:
        try:
            return word.decode()
        except UnicodeDecodeError:
            self.fail(f"'{_shown(word)}' is not UTF-8")

    def _content(self) -> bytes:
        """The next line that is not blank."""
        while not (line := self._next_line()).strip():
            pass
        return line

    def _next_line(self, wanted: str = "\\end\\") -> bytes:
        """Without its end. Raises DataError at the end of the file."""
        while self._at >= self._whole:
            self._fill(wanted)
        end = self._buffer.index(b"\n", self._at)
        line = self._buffer[self._at : end]
        self._at, self.line = end + 1, self.line + 1
        return line

    def _give_back(self, line: bytes) -> None:
        self._at, self.line = self._at - len(line) - 1, self.line - 1

    def _fill(self, wanted: str = "\\end\\") -> None:
        """Read on, up to the end of a line at least."""
        rest = self._buffer[self._at :]
        chunk = next(self._chunks, b"\n" if rest else b"")  # the last line may have no end
        if not chunk:
            self.fail(f"the file ends here, before {wanted}")
        self._buffer, self._at = rest + chunk, 0
        self._whole = self._buffer.rfind(b"\n") + 1


def nats(log10: np.ndarray) -> np.ndarray:
    """The format's logarithms as ours."""
    logs: np.ndarray = np.where(log10 <= LOG_ZERO, -np.inf, log10 * np.log(10.0))
    return logs


def _shown(text: bytes) -> str:
    return text[:80].decode(errors="replace").strip()


__all__ = ["ArpaFile", "Ngrams", "Unigrams"]
