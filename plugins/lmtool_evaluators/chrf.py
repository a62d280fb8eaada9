"""chrF, by sacrebleu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacrebleu.metrics import CHRF

from lmtool_evaluators.of_sacrebleu import OfSacrebleu

if TYPE_CHECKING:
    from lmtool_evaluators.config import ChrfConfig


class Chrf(OfSacrebleu):
    """See `ChrfConfig`.

    References:
        Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015; "chrF++: words helping character
        n-grams", 2017.
    """

    def __init__(self, config: ChrfConfig) -> None:
        self.config = config
        metric = CHRF(
            char_order=config.char_order, word_order=config.word_order, beta=config.beta, lowercase=config.lowercase
        )
        super().__init__("chrf", metric)


__all__ = ["Chrf"]
