"""Scores of lines as lines of output, many at once."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from itertools import chain, repeat
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from lmtool.evaluation.json_report import number
from lmtool.number_rows import DECIMALS, Column, rows_of
from lmtool.prediction_output import check_names, record_json
from lmtool.scoring import SPREAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmtool.scoring import Scores
    from lmtool.scoring_pairs import PairScores

COLUMNS = ("nats", "tokens", "token_perplexity", "unknown")
FIGURES = {
    "nats": 12,
    "tokens": 0,
    "unknown": 0,
    "token_perplexity": 12,
    "word_perplexity": 12,
    "bits_per_byte": 12,
}
"""Of an object, and how many digits they have; 0 for whole numbers."""
TOKEN_SCORES = "token_scores"


def columns(scores: Scores) -> str:
    """`COLUMNS` of each line, separated by tabs: nats with six decimals, perplexity with six digits.

    Where weights were drawn from a posterior, `SPREAD` behind them, with six decimals.
    """
    perplexity = Column("\t", scores.token_perplexity, 6)
    known = [Column("", scores.nats, DECIMALS), Column("\t", scores.tokens), perplexity, Column("\t", scores.unknown)]
    return rows_of([*known, *([Column("\t", scores.nats_sd, DECIMALS)] if scores.sampled is not None else [])])


def objects(scores: Scores, *, tokens: bool = False) -> str:
    """A JSON object for each line, its numbers with twelve digits, what its tokens cost among it if asked for."""
    begins = (f'{{"text": {encode_basestring(line)}' for line in scores.lines)
    return _with_figures(begins, scores, tokens=tokens)


def record_objects(scores: PairScores, *, tokens: bool = False, prefix: str = "") -> str:
    """The record of each pair with the figures of its target behind its own fields, numbers as `objects` has them.

    Args:
        scores: Of pairs.
        tokens: Say what the target's tokens cost, too.
        prefix: Stands before the names of the figures.

    Raises:
        DataError: if a record has a field of such a name.
    """
    names = [prefix + name for name in (*FIGURES, *([SPREAD] if scores.sampled is not None else []))]
    names += [prefix + TOKEN_SCORES] if tokens else []
    for pair in scores.pairs:
        check_names(pair.fields, names, what="scored")
    begins = (record_json(pair.fields)[:-1] for pair in scores.pairs)
    return _with_figures(begins, scores, tokens=tokens, prefix=prefix)


def _with_figures(begins: Iterable[str], scores: Scores, *, tokens: bool, prefix: str = "") -> str:
    """A JSON object for each line.

    Args:
        begins: Each with a field or more, and without its last brace.
        scores: Of the lines.
        tokens: Whether the tokens' facts are among them.
        prefix: Stands before the names of the figures.
    """

    def key(name: str) -> str:
        return f", {json_text(prefix + name)}: "

    figures = [Column(key(name), getattr(scores, name), digits) for name, digits in FIGURES.items()]
    if scores.sampled is not None:
        figures.append(Column(key(SPREAD), scores.nats_sd, 12))
    numbers = rows_of(figures, infinite=lambda value: json_text(number(value)))
    ends: Iterable[str] = repeat("}\n")
    if tokens:
        ends = (f"{key(TOKEN_SCORES)}{json_text(one)}}}\n" for one in _token_scores(scores))
    return "".join(chain.from_iterable(zip(begins, numbers.split("\n"), ends, strict=False)))


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


def _token_scores(scores: Scores) -> Iterator[list[dict[str, object]]]:
    """For each line, the facts of its tokens."""
    ids = scores.ids.tolist()
    names = scores.tokenizer.tokens(ids)
    nats = map(number, (0.0 - scores.log_probs).tolist())
    fields = {"token": names, "id": ids, "nats": nats, "unknown": scores.is_unknown.tolist()}
    if scores.orders is not None:
        fields["order"] = scores.orders.tolist()
    if scores.sampled is not None:
        fields[SPREAD] = [number(one) for one in scores.token_sd.tolist()]
    every = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    for start, stop in zip(scores.starts.tolist(), scores.stops.tolist(), strict=True):
        yield every[start:stop]


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


__all__ = ["COLUMNS", "Totals", "columns", "objects", "record_objects", "summary"]
