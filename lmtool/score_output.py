"""Scores of lines as lines of output, many at once."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from itertools import chain
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from lmtool.evaluation.report import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from lmtool.scoring import Scores

COLUMNS = ("nats", "tokens", "perplexity", "unknown")


def columns(scores: Scores) -> str:
    """`COLUMNS` of each line, separated by tabs."""
    rows = zip(
        scores.nats.tolist(),
        scores.tokens.tolist(),
        scores.token_perplexity.tolist(),
        scores.unknown.tolist(),
        strict=True,
    )
    # One call for all lines: each call costs more than the line that it makes.
    return ("%.6f\t%d\t%.6g\t%d\n" * len(scores)) % tuple(chain.from_iterable(rows))


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
            nats=float(-scores.log_probs.sum()),
            known_nats=float(-scores.log_probs[~scores.is_unknown].sum()),
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
    nats = map(number, (-scores.log_probs).tolist())
    fields = {"token": names, "id": ids, "nats": nats, "unknown": scores.is_unknown.tolist()}
    if scores.orders is not None:
        fields["order"] = scores.orders.tolist()
    every = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    for start, stop in zip(scores.starts.tolist(), scores.stops.tolist(), strict=True):
        yield every[start:stop]


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


__all__ = ["COLUMNS", "Totals", "columns", "objects", "summary"]
