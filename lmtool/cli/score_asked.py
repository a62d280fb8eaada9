"""What models of both kinds are scored by: the input, what becomes of it, and how that is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmtool.scoring import Scores


@dataclass(frozen=True)
class Scoring:
    """What goes through `score`, a line in, a line out."""

    pieces: Iterator[Any]
    """Lines of the input, as `lmtool.filters.answers` takes them."""
    scored: Callable[[Any], Scores]
    """What the model gives to a piece."""
    threads: int
    """How many may do so at once; 0 for this one alone."""
    objects: Callable[[Scores], str]
    """Scores as JSON Lines."""
    what: str
    """That lines are of the input, for messages."""


def quantities(known: Sequence[str], *, spread: bool) -> tuple[str, ...]:
    """With how far samples of the weights lie apart, if there are any."""
    from lmtool.scoring import SPREAD

    return (*known, SPREAD) if spread else tuple(known)


__all__ = ["Scoring", "quantities"]
