"""Documents of the training text that are held out for validation: which, their text alone decides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lmtool.api import Record

_SALT = b"lmtool holdout"  # so that a split which somebody made by a plain hash of the text is independent of this one


@dataclass(frozen=True)
class Share:
    """A part of the documents of some sources: those that are held out, or the others."""

    fraction: float
    """Held out, 0 to 1."""
    held_out: bool

    def of(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records of the documents that belong to this part, in order."""
        belongs, begins = False, True
        for record in records:
            if begins:
                belongs = is_held_out(record.text, self.fraction) == self.held_out
            begins = record.last
            if belongs:
                yield record

    def describe(self) -> dict[str, Any]:
        return {"fraction": self.fraction, "held_out": self.held_out}


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a document is among the share that is held out.

    Equal texts fall on the same side, wherever they stand; what is held out with a fraction is with a larger one, too.

    Args:
        text: Of a document; of a large one, that of its first record.
        fraction: 0 to 1.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=_SALT).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def seen(learned: Iterable[Mapping[str, Any]], judged: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the sources of which a model learned text that it, or what starts from it, is to be judged by.

    Sources are known by their hashes, documents by the share that they belong to: a text that stands in two files is
    not found.

    Args:
        learned: Sources of a training split, as they stand in `dataset.json`.
        judged: Those of a validation or test split. Of a subset, those of what it was taken from count.
    """
    known = [(one["sha256"], *_part(one)) for one in learned]
    found = dict.fromkeys(
        str(one["name"])
        for entry in judged
        for one in entry.get("sources", [entry])
        for sha256, start, stop in known
        if one["sha256"] == sha256 and max(start, _part(one)[0]) < min(stop, _part(one)[1])
    )
    return list(found)


def _part(source: Mapping[str, Any]) -> tuple[float, float]:
    """Hashes of the documents that are taken of a source: from, and below; 0 to 1."""
    share = source.get("share")
    if share is None:
        return 0.0, 1.0
    return (0.0, share["fraction"]) if share["held_out"] else (share["fraction"], 1.0)


__all__ = ["Share", "is_held_out", "seen"]
