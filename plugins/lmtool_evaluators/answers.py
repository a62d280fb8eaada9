"""Short answers beside the right ones: exact match and F1, as the scripts of SQuAD v1.1 and CMRC 2018 define them."""

from __future__ import annotations

import re
import string
from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool_evaluators.config import AnswersConfig

    Judge = Callable[[str, str], tuple[float, float]]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CMRC_SEGMENT = re.compile(r"[\u4e00-\u9fa5]|[^\W\u4e00-\u9fa5]+|[^\w\s]")


def normalized(text: str) -> str:
    """What SQuAD's script compares: lower case, without punctuation and articles, with single spaces.

    >>> normalized("The  quick, brown fox!")
    'quick brown fox'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def squad(hypothesis: str, reference: str) -> tuple[float, float]:
    """F1 over words, whatever their order, and whether both are the same, each 0 to 1."""
    answer, right = normalized(hypothesis), normalized(reference)
    words, right_words = answer.split(), right.split()
    common = (Counter(words) & Counter(right_words)).total()
    return _f1(common, len(words), len(right_words)), float(answer == right)


def cmrc(hypothesis: str, reference: str) -> tuple[float, float]:
    """F1 over the longest run of characters and words that both have, and whether both are the same, each 0 to 1."""
    answer, right = (text.lower().strip().translate(_CMRC_PUNCTUATION) for text in (hypothesis, reference))
    segments, right_segments = _CMRC_SEGMENT.findall(answer), _CMRC_SEGMENT.findall(right)
    common = SequenceMatcher(None, segments, right_segments, autojunk=False).find_longest_match().size
    return _f1(common, len(segments), len(right_segments)), float(answer == right)


def _f1(common: int, given: int, wanted: int) -> float:
    return 2 * common / (given + wanted) if common else 0.0


JUDGES: dict[str, Judge] = {"squad": squad, "cmrc": cmrc}


class Answers:
    """See `AnswersConfig`. A single answer is judged by F1.

    References:
        Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of text", 2016.
        Cui et al., "A span-extraction dataset for Chinese machine reading comprehension", 2019 (CMRC 2018).
    """

    takes: Literal["texts"] = "texts"
    names: tuple[str, ...] = ("f1", "exact_match")

    def __init__(self, config: AnswersConfig) -> None:
        self.config = config
        self.signature = f"norm:{config.normalize}"
        self._judge = JUDGES[config.normalize]

    def statistics(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
        """float64 [3]: F1 and exact match, each by the best of the references, and one for the text."""
        found = [self._judge(hypothesis, reference) for reference in references or ("",)]
        return np.array([*(max(column) for column in zip(*found, strict=True)), 1.0], np.float64)

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        """By name: means over texts, times 100."""
        return dict(zip(self.names, (100 * totals[:2] / totals[2]).tolist(), strict=True))

    def judge(self, hypothesis: str, references: Sequence[str]) -> float:
        """F1."""
        return float(self.statistics(hypothesis, references)[0])


__all__ = ["Answers", "cmrc", "normalized", "squad"]
