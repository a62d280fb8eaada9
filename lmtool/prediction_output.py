"""What a classifier says of documents, as lines of output."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmtool.errors import DataError
from lmtool.incoming import SURROGATE
from lmtool.prediction_classes import DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lmtool.prediction_classes import Verdict

    Explanation = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Layout:
    """What of a verdict is written."""

    field: str | None = None
    """Where the text stands in a record of the input; None for `text`: of lines, or where it is of several fields."""
    multi_label: bool = False
    top_k: int | None = None
    """So many of the likeliest classes, besides what is predicted."""
    every: bool = False
    """The probabilities of all classes."""
    text: bool = False
    prefix: str = ""
    """Before the names of what is predicted, which a record's own fields may have."""

    def to_json(self, verdict: Verdict, explanation: Explanation | None = None) -> str:
        """One object: the record's own fields, then what is predicted.

        Raises:
            DataError: if a field has the name of something that is predicted.
        """
        own = {**verdict.entry.fields, **({self.field or "text": verdict.entry.text} if self.text else {})}
        return with_predicted(own, self._predicted(verdict, explanation), self.prefix)

    def _predicted(self, verdict: Verdict, explanation: Explanation | None) -> dict[str, Any]:
        if self.multi_label:
            found: dict[str, Any] = {"labels": [_described(verdict, number) for number in verdict.chosen]}
        else:
            found = _described(verdict, verdict.chosen[0])
        if verdict.doubt is not None:
            found |= {name: round(value, DIGITS) for name, value in verdict.doubt._asdict().items()}
        if self.top_k is not None:
            found["top"] = [_described(verdict, number) for number in verdict.ranked(self.top_k)]
        if self.every:
            found["probabilities"] = dict(map(verdict.pair, range(len(verdict.labels))))
        if explanation is not None:
            found["explanation"] = [[token, float(f"{weight:.4g}")] for token, weight in explanation]
        return found

    def plain(self, verdict: Verdict) -> str:
        """Labels and probabilities in turn, separated by tabs: of what is predicted, or of the `top_k`."""
        numbers = verdict.chosen if self.top_k is None else verdict.ranked(self.top_k)
        pairs = (verdict.pair(number) for number in numbers)
        return "\t".join(f"{' '.join(label.split())}\t{probability:.6g}" for label, probability in pairs) + "\n"


def with_predicted(own: Mapping[str, Any], predicted: Mapping[str, Any], prefix: str) -> str:
    """A line of JSON: a record's own fields, then what is predicted, with `prefix` before its names.

    Raises:
        DataError: if a field has the name of something that is predicted.
    """
    named = {f"{prefix}{name}": value for name, value in predicted.items()}
    check_names(own, named)
    return record_json({**own, **named}) + "\n"


def check_names(own: Mapping[str, Any], names: Iterable[str], *, what: str = "predicted") -> None:
    """Raise DataError if a record has a field already that is to be written beside its own."""
    if clash := next((name for name in names if name in own), None):
        hint = f"`--prefix {what}_` writes {what}_{clash} beside it"
        raise DataError(f"a record has a field '{clash}', and so does what is {what}", hint)


def record_json(fields: Mapping[str, Any]) -> str:
    """A record as a line without its end."""
    line = json.dumps(fields, ensure_ascii=False)
    if not line.isascii() and SURROGATE.search(line):  # of another field, which UTF-8 cannot spell and JSON can
        line = json.dumps(fields)
    return line


def _described(verdict: Verdict, number: int) -> dict[str, Any]:
    label, probability = verdict.pair(number)
    return {"label": label, "probability": probability}


__all__ = ["Layout", "check_names", "record_json", "with_predicted"]
