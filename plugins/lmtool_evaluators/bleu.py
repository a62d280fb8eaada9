"""BLEU, by sacrebleu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacrebleu.metrics import BLEU

from lmtool_evaluators.of_sacrebleu import OfSacrebleu

if TYPE_CHECKING:
    from lmtool_evaluators.config import BleuConfig


class Bleu(OfSacrebleu):
    """See `BleuConfig`. A single text is judged by smoothed sentence BLEU, over the orders that it has n-grams of.

    References:
        Papineni et al., "BLEU: a method for automatic evaluation of machine translation", 2002.
        Post, "A call for clarity in reporting BLEU scores", 2018 (sacrebleu).
        Chen & Cherry, "A systematic comparison of smoothing techniques for sentence-level BLEU", 2014.
    """

    def __init__(self, config: BleuConfig) -> None:
        self.config = config
        settings = {
            "tokenize": config.tokenize,
            "lowercase": config.lowercase,
            "max_ngram_order": config.max_order,
            "force": True,  # no word about texts that look tokenized
        }
        smoothing = "exp" if config.smooth_method == "none" else config.smooth_method
        corpus = BLEU(smooth_method=config.smooth_method, smooth_value=config.smooth_value, **settings)
        sentence = BLEU(smooth_method=smoothing, smooth_value=config.smooth_value, effective_order=True, **settings)
        super().__init__("bleu", corpus, sentence)


__all__ = ["Bleu"]
