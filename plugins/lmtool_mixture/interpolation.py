"""What a mixture is whatever way its parts are weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmtool_mixture.ensemble import State
    from lmtool_mixture.parts import Parts


class Interpolation:
    """Parts and weights; the ways of mixing give `score` and `next_log_probs`; see `lmtool.api.LanguageModel`."""

    mode: ClassVar[str]

    def __init__(self, parts: Parts, weights: Sequence[float]) -> None:
        self.parts, self.ensemble = parts, parts.ensemble
        self.weights = tuple(map(float, weights))
        self.vocab_size = self.ensemble.vocab_size
        self.stateful = self.ensemble.stateful
        self.adapts = self.ensemble.adapts
        self.facts = {"parts": parts.weighted(self.weights)}

    def initial_state(self, batch_size: int) -> State:
        return self.ensemble.initial_state(batch_size)

    def save(self, folder: Path) -> None:
        """A folder for each part, and `mixture.json`; see `lmtool_mixture.parts`."""
        self.parts.save(folder, mode=self.mode, weights=self.weights)
