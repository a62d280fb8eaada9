"""ROUGE, by rouge-score."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_evaluators.config import RougeConfig

TYPES = {"rouge_l": "rougeL", "rouge_1": "rouge1", "rouge_2": "rouge2"}
"""Our names to those of rouge-score."""

# Kana and Chinese characters, which are written without spaces
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


class UnicodeTokenizer:
    """Words of any script in lower case; Chinese characters and kana one by one."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text.

        >>> UnicodeTokenizer().tokenize("Zwei Männer, 2 人在说话")
        ['zwei', 'männer', '2', '人', '在', '说', '话']
        """
        return _WORD.findall(text.lower())


class Rouge:
    """See `RougeConfig`. A single text is judged by ROUGE-L.

    References:
        Lin, "ROUGE: a package for automatic evaluation of summaries", 2004.
    """

    takes: Literal["texts"] = "texts"

    def __init__(self, config: RougeConfig) -> None:
        self.config = config
        tokenizer = UnicodeTokenizer() if config.tokenize == "unicode" else None
        self._scorer = RougeScorer(list(TYPES.values()), use_stemmer=config.stemmer, tokenizer=tokenizer)
        parts = ("", "_precision", "_recall") if config.precision_recall else ("",)
        self.names = tuple(f"{name}{part}" for name in TYPES for part in parts)
        stem = "yes" if config.stemmer else "no"
        self.signature = f"tok:{config.tokenize}|stem:{stem}|rouge-score:{version('rouge-score')}"

    def statistics(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
        """float64 [10]: F, precision and recall of each, by the reference with the best F, and one for the text."""
        found = self._scorer.score_multi(references or ("",), hypothesis)
        scores = [found[name] for name in TYPES.values()]
        return np.array([*(x for one in scores for x in (one.fmeasure, one.precision, one.recall)), 1], np.float64)

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        """By name: means over texts, times 100."""
        means = 100 * totals[:-1] / totals[-1]
        chosen = means if self.config.precision_recall else means[::3]
        return dict(zip(self.names, chosen.tolist(), strict=True))

    def judge(self, hypothesis: str, references: Sequence[str]) -> float:
        """ROUGE-L, F."""
        return float(self.statistics(hypothesis, references)[0])


__all__ = ["Rouge", "UnicodeTokenizer"]
