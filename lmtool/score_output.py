"""Scores of lines as lines of output, many at once."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from itertools import chain
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from lmtool.compiled import compiled
from lmtool.evaluation.report import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from lmtool.scoring import Scores

COLUMNS = ("nats", "tokens", "perplexity", "unknown")

ROW = 96
"""Bytes that a row may have."""
FEW = 500
"""Lines that need no compiled loop."""


def put_digits(number: Any, width: Any, out: Any, at: Any) -> Any:
    """A number from 0 on, with zeros in front up to a width; returns where it ends."""
    rest = number // 10
    size = 1
    while rest > 0:
        rest //= 10
        size += 1
    size = max(size, width)
    for i in range(size):
        out[at + size - 1 - i] = 48 + number % 10
        number //= 10
    return at + size


def put_general(digits: Any, exponent: Any, out: Any, at: Any) -> Any:
    """Six digits, the first of a power of ten, as `%.6g` has them; returns where they end."""
    size = 6
    while size > 1 and digits % 10 == 0:  # no zeros at the end of decimals
        digits //= 10
        size -= 1
    scientific = exponent < -4 or exponent > 5
    zeros = 0 if scientific else max(0, -exponent)  # before the first digit, one of them before the point
    before = 1 if scientific or exponent < 0 else exponent + 1  # characters before the point
    total = max(zeros + size, before)
    for i in range(total - 1, -1, -1):
        digit = 0
        if zeros <= i < zeros + size:
            digit = digits % 10
            digits //= 10
        out[at + i + (i >= before)] = 48 + digit
    end = at + total
    if total > before:
        out[at + before] = 46
        end += 1
    if scientific:
        out[end], out[end + 1] = 101, 45 if exponent < 0 else 43
        out[end + 2], out[end + 3] = 48 + abs(exponent) // 10, 48 + abs(exponent) % 10
        end += 4
    return end


@compiled("int64[:], int64[:], int64[:], int64[:], int64[:], int64, uint8[:] -> int64", put_digits, put_general)
def write_rows(millionths: Any, tokens: Any, digits: Any, exponents: Any, unknown: Any, rows: Any, out: Any) -> Any:
    """Rows of `columns` into `out`, which has `ROW` bytes for each; returns how many they are.

    Args:
        millionths: Of nats.
        tokens, unknown: Numbers.
        digits, exponents: Of the perplexity.
        rows: L, the length of these.
        out: Characters.
    """
    at = 0
    for row in range(rows):
        nats = millionths[row]
        if nats < 0:
            out[at] = 45
            at += 1
            nats = -nats
        at = put_digits(nats // 1000000, 1, out, at)
        out[at] = 46
        at = put_digits(nats % 1000000, 6, out, at + 1)
        out[at] = 9
        at = put_digits(tokens[row], 1, out, at + 1)
        out[at] = 9
        at = put_general(digits[row], exponents[row], out, at + 1)
        out[at] = 9
        at = put_digits(unknown[row], 1, out, at + 1)
        out[at] = 10
        at += 1
    return at


def columns(scores: Scores) -> str:
    """`COLUMNS` of each line, separated by tabs: nats with six decimals, perplexity with six digits."""
    import numpy as np

    nats, perplexity = scores.nats, scores.token_perplexity
    few = len(scores) < FEW
    if few or not ((np.abs(nats) < 1e12) & (perplexity > 1e-99) & (perplexity < 1e99)).all():
        return _columns_one_by_one(scores)
    millionths = np.rint(nats * 1e6).astype(np.int64)
    digits, exponents = _six_digits(perplexity)
    text = np.empty(ROW * len(scores), np.uint8)
    written = write_rows(millionths, scores.tokens, digits, exponents, scores.unknown, len(scores), text)
    return text[:written].tobytes().decode("ascii")


def _six_digits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [L] each: the first six digits of positive numbers, rounded, and the power of ten of the first one."""
    import numpy as np

    exponents = np.floor(np.log10(values))
    # Powers up to 22 are exact, and so is what is multiplied or divided by them, but for one rounding.
    scaled = np.where(exponents < 5, values * 10.0 ** (5 - exponents), values / 10.0 ** (exponents - 5))
    digits = np.rint(scaled)
    digits, exponents = np.where(digits < 1e5, digits * 10, digits), exponents - (digits < 1e5)
    digits, exponents = np.where(digits >= 1e6, digits / 10, digits), exponents + (digits >= 1e6)
    return digits.astype(np.int64), exponents.astype(np.int64)


def _columns_one_by_one(scores: Scores) -> str:
    rows = zip(scores.nats, scores.tokens, scores.token_perplexity, scores.unknown, strict=True)
    # What is rounded to zero has no sign, as in `write_rows`.
    return "".join(
        [f"{round(nats, 6) + 0.0:.6f}\t{tokens}\t{one:.6g}\t{unknown}\n" for nats, tokens, one, unknown in rows]
    )


def objects(scores: Scores, *, tokens: bool = False) -> str:
    """A JSON object for each line, what its tokens cost among it if asked for."""
    fields = {
        "text": map(encode_basestring, scores.lines),
        "nats": _numbers(scores.nats),
        "tokens": scores.tokens.tolist(),
        "unknown": scores.unknown.tolist(),
        "token_perplexity": _numbers(scores.token_perplexity),
        "word_perplexity": _numbers(scores.word_perplexity),
        "bits_per_byte": _numbers(scores.bits_per_byte),
    }
    if tokens:
        fields["token_scores"] = map(json_text, _token_scores(scores))
    template = "{" + ", ".join(f'"{name}": %s' for name in fields) + "}\n"
    return (template * len(scores)) % tuple(chain.from_iterable(zip(*fields.values(), strict=True)))


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of whole texts; they add up."""

    lines: int = 0
    tokens: int = 0
    unknown: int = 0
    words: int = 0
    bytes: int = 0
    nats: float = 0.0
    known_nats: float = 0.0
    """What the tokens cost that are not unknown."""

    @classmethod
    def of(cls, scores: Scores) -> Totals:
        return cls(
            lines=len(scores),
            tokens=len(scores.ids),
            unknown=int(scores.is_unknown.sum()),
            words=int(scores.words.sum()),
            bytes=int(scores.bytes.sum()),
            nats=float(0.0 - scores.log_probs.sum()),
            known_nats=float(0.0 - scores.log_probs[~scores.is_unknown].sum()),
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def figures(self) -> dict[str, int | float]:
        """By name, what `lmtool eval` would say; NaN for a text without what is counted."""
        return {
            "lines": self.lines,
            "nats": self.nats,
            "tokens": self.tokens,
            "unknown": self.unknown,
            "words": self.words,
            "bytes": self.bytes,
            "token_perplexity": _perplexity(self.nats, self.tokens),
            "token_perplexity_without_oov": _perplexity(self.known_nats, self.tokens - self.unknown),
            "word_perplexity": _perplexity(self.nats, self.words + self.lines),
            "bits_per_byte": self.nats / (math.log(2) * self.bytes) if self.bytes else math.nan,
        }


def _perplexity(nats: float, count: int) -> float:
    try:
        return math.exp(nats / count) if count else math.nan
    except OverflowError:
        return math.inf


def summary(totals: Totals, *, as_json: bool = False, header: bool = False) -> str:
    """The figures, separated by tabs, their names above them if asked for; or one JSON object."""
    figures = totals.figures()
    if as_json:
        return json_text({name: number(value) for name, value in figures.items()}) + "\n"
    numbers = [str(one) if isinstance(one, int) else f"{one:.10g}" for one in figures.values()]
    rows = [list(figures), numbers] if header else [numbers]
    return "".join("\t".join(row) + "\n" for row in rows)


def _numbers(values: np.ndarray) -> Iterable[str]:
    return [repr(value) if math.isfinite(value) else json_text(number(value)) for value in values.tolist()]


def _token_scores(scores: Scores) -> Iterator[list[dict[str, object]]]:
    """For each line, the facts of its tokens."""
    ids = scores.ids.tolist()
    names = scores.tokenizer.tokens(ids)
    nats = map(number, (0.0 - scores.log_probs).tolist())
    fields = {"token": names, "id": ids, "nats": nats, "unknown": scores.is_unknown.tolist()}
    if scores.orders is not None:
        fields["order"] = scores.orders.tolist()
    every = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    for start, stop in zip(scores.starts.tolist(), scores.stops.tolist(), strict=True):
        yield every[start:stop]


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


__all__ = ["COLUMNS", "Totals", "columns", "objects", "summary"]
