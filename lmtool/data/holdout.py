"""Documents of the training text that are held out for validation: which, their text alone decides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


__all__ = ["Share", "is_held_out"]
