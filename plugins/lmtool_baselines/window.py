"""Answers to questions by the words that question and context share.

A document's first line is the question, the others are its context. As Rajpurkar et al. do for SQuAD: of all candidate
spans, those are kept whose sentence shares most words and pairs of words with the question; of these the best is chosen
by a sliding window. A sentence without candidates is passed over, whatever it shares. With A the words of a span, Q
those of the question, P those of its sentence:

    window score = max over j of Σ ic(w) for w in P[j : j + |A ∪ Q|] that are in A ∪ Q,   ic(w) = log(1 + 1 / C(w))
    less the distance = min |p(q) - p(a)| / (|P| - 1) for a in A and q in Q that are no function words

where C(w) is how often the context has w. Their candidates are the constituents of a parser; here they are all runs of
up to `max_words` words of a sentence in which no word is one of the question, no sign stands, and neither the first nor
the last is a function word. Function words are those of many training contexts.

References:
    Richardson, Burges & Renshaw, "MCTest: a challenge dataset for the open-domain machine comprehension of text", 2013.
    Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of text", 2016 (section 5.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool_baselines.answering import Answer, Baseline
from lmtool_baselines.words import sentences, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool_baselines.config import SlidingWindowConfig
    from lmtool_baselines.words import Word


class SlidingWindow(Baseline):
    """Answers with a span of the context."""

    config: SlidingWindowConfig

    def estimated(self, texts: Iterator[str]) -> dict[str, Any]:
        """The function words, in order."""
        counts: Counter[str] = Counter()
        contexts = {text.partition("\n")[2] for text in texts}
        for context in contexts:
            counts.update({word.key for word in words(context) if not word.is_sign})
        return {"common": sorted(key for key, count in counts.items() if count > self.config.common * len(contexts))}

    def answers(self, text: str, known: dict[str, Any]) -> list[Answer]:
        question, _, context = text.partition("\n")
        common = frozenset(known["common"])
        asked = [word.key for word in words(question) if not word.is_sign]
        found = []
        for sentence, scorer in self._best_sentences(context, asked, common):
            for start, stop in scorer.candidates:
                answer = context[sentence[start].start : sentence[stop - 1].stop]
                found.append(Answer(answer, scorer.score(start, stop)))
        found.sort(key=lambda answer: -answer.score)  # of equals the first stays first
        best: dict[str, Answer] = {}
        for one in found:
            best.setdefault(one.text, one)
        return list(best.values()) or [Answer("")]

    def _best_sentences(
        self, context: str, asked: list[str], common: AbstractSet[str]
    ) -> list[tuple[list[Word], _Scorer]]:
        """Of those that have candidates, those that share most with the question."""
        counts = Counter(word.key for word in words(context))
        found = []
        for bounds in sentences(context):
            sentence = words_in(context, *bounds)
            scorer = _Scorer(sentence, frozenset(asked), common, counts, self.config)
            if scorer.candidates:
                found.append((_overlap(scorer.keys, asked), sentence, scorer))
        most = max((overlap for overlap, _, _ in found), default=0)
        return [(sentence, scorer) for overlap, sentence, scorer in found if overlap == most]


def words_in(text: str, start: int, stop: int) -> list[Word]:
    """The words of a part of a text, with their places in the whole."""
    return [word._replace(start=start + word.start, stop=start + word.stop) for word in words(text[start:stop])]


def _overlap(keys: list[str], asked: list[str]) -> int:
    """Words and pairs of words that both have."""
    return len(set(keys) & set(asked)) + len(set(pairwise(keys)) & set(pairwise(asked)))


class _Scorer:
    """Scores spans of a sentence."""

    def __init__(
        self,
        sentence: list[Word],
        asked: AbstractSet[str],
        common: AbstractSet[str],
        counts: Counter[str],
        config: SlidingWindowConfig,
    ) -> None:
        self.keys = [word.key for word in sentence]
        self.asked, self.distance = asked, config.distance
        places = {key: place for place, key in enumerate(self.keys)}
        self.numbers = np.array([places[key] for key in self.keys])
        self.weights = np.array([np.log1p(1 / counts[key]) for key in self.keys])
        self.is_asked = np.array([key in asked for key in self.keys])
        self.is_common = np.array([key in common for key in self.keys])
        self.is_sign = np.array([word.is_sign for word in sentence])
        self.candidates = list(self._candidates(config.max_words))

    def _candidates(self, max_words: int) -> Iterator[tuple[int, int]]:
        """Where spans begin and end."""
        allowed = ~(self.is_asked | self.is_sign)
        for start in np.flatnonzero(allowed & ~self.is_common).tolist():
            for stop in range(start + 1, min(start + max_words, len(self.keys)) + 1):
                if not allowed[stop - 1]:
                    break
                if not self.is_common[stop - 1]:
                    yield start, stop

    def score(self, start: int, stop: int) -> float:
        answer = set(self.keys[start:stop])
        inside = self.is_asked | np.isin(self.numbers, self.numbers[start:stop])
        sums = np.cumsum(np.concatenate([[0.0], np.where(inside, self.weights, 0.0)]))
        size = min(len(answer | self.asked), len(self.keys))
        best = float((sums[size:] - sums[:-size]).max())
        return best - (self._distance(start, stop) if self.distance else 0.0)

    def _distance(self, start: int, stop: int) -> float:
        """0 to 1; 1 if there is nothing to measure from."""
        places = np.flatnonzero(self.is_asked & ~self.is_common)
        own = np.arange(start, stop)[~self.is_common[start:stop]]
        if not len(places) or not len(own):
            return 1.0
        return float(np.abs(places[:, None] - own[None, :]).min() / max(1, len(self.keys) - 1))


__all__ = ["SlidingWindow"]
