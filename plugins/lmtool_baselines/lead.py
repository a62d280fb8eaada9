"""A document's first sentences, and all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool_baselines.answering import Answer, Baseline
from lmtool_baselines.words import sentences, words

if TYPE_CHECKING:
    from lmtool_baselines.config import LeadConfig


class Lead(Baseline):
    """Answers with the first sentences of a document, or the first words of these.

    References: Nallapati et al., "SummaRuNNer: a recurrent neural network based sequence model for extractive
    summarization of documents", 2017 (lead-3).
    """

    config: LeadConfig

    def answers(self, text: str, known: dict[str, Any]) -> list[Answer]:
        bounds = sentences(text)[: self.config.sentences]
        lead = text[bounds[0][0] : bounds[-1][1]] if bounds else ""
        if self.config.max_words is not None and (kept := words(lead)[: self.config.max_words]):
            lead = lead[: kept[-1].stop]
        return [Answer(lead)]


class CopySource(Baseline):
    """Answers with the document itself."""

    def answers(self, text: str, known: dict[str, Any]) -> list[Answer]:
        return [Answer(text)]


__all__ = ["CopySource", "Lead"]
