"""Records with a document and a target, to what a text-to-text model gives the target, many at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmtool.evaluation import checked
from lmtool.incoming import as_documents
from lmtool.posterior import SampledTextModel, log_mean
from lmtool.scoring import QUANTITIES, Scores, encode_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from lmtool.api import TextModel, Tokenizer
    from lmtool.data.targets import TargetFields
    from lmtool.incoming import Form, Lines

PAIR_QUANTITIES = (*QUANTITIES, "source_words", "source_chars")
"""What is known of each pair: attributes of `PairScores` that are arrays [L]; the last two are of the document."""


class Pair(NamedTuple):
    """A document, and a text that it may be answered with."""

    line: str
    """The record as it is written."""
    fields: Mapping[str, Any]
    """All of the record."""
    document: str
    target: str
    """One line, which may be empty."""


@dataclass(frozen=True)
class PairForm:
    """Where pairs stand in JSON Lines."""

    document: Form
    """Of records."""
    target: TargetFields
    """Of several targets the first one counts."""

    def pairs(self, lines: Lines) -> list[Pair]:
        """The pairs; blank lines are none.

        Raises:
            DataError: names the line that is no record, or lacks one of the texts.
        """
        rows = self.document.rows(lines, hint="it holds a document and its target")
        return [
            Pair(row.line, row.fields, self.document.text_of(row), self.target.first(row.fields, row.where))
            for row in rows
        ]


@dataclass(frozen=True)
class PairScores(Scores):
    """What a model gave to the targets of L pairs, which are its lines."""

    pairs: tuple[Pair, ...] = ()

    @cached_property
    def source_words(self) -> np.ndarray:
        """Whitespace-separated words of the document."""
        return np.array([len(pair.document.split()) for pair in self.pairs], np.int64)

    @cached_property
    def source_chars(self) -> np.ndarray:
        """Unicode code points of the document."""
        return np.array([len(pair.document) for pair in self.pairs], np.int64)

    def kept_text(self, kept: np.ndarray) -> str:
        """The records where `kept`, bool [L], says so, as they are written."""
        return "".join([f"{pair.line}\n" for pair in self._pairs_where(kept)])

    def select(self, kept: np.ndarray) -> Self:
        """The scores of these pairs."""
        return replace(super().select(kept), pairs=self._pairs_where(kept))

    def _pairs_where(self, kept: np.ndarray) -> tuple[Pair, ...]:
        return tuple(compress(self.pairs, kept.tolist()))


def score_pairs(
    model: TextModel, tokenizer: Tokenizer, target_tokenizer: Tokenizer, pairs: Sequence[Pair]
) -> PairScores:
    """Score the target of each pair, given its document alone.

    Args:
        model: Threads may score with it at once.
        tokenizer: Of documents.
        target_tokenizer: Of targets.
        pairs: At most `lmtool.incoming.AT_ONCE` or so.

    Raises:
        DamagedModelError: if the model gives something that is no log-probability.
    """
    text = "".join([f"{pair.target}\n" for pair in pairs])
    ids = encode_lines(target_tokenizer, text).astype(np.int32) if pairs else np.zeros(0, np.int32)
    stops = (np.flatnonzero(ids == target_tokenizer.eos_id) + 1).tolist()
    targets = [ids[start : stop - 1] for start, stop in zip([0, *stops], stops, strict=False)]
    documents = as_documents(tokenizer, [pair.document for pair in pairs])

    def given(model: TextModel) -> np.ndarray:
        return checked(np.concatenate([np.zeros(0), *model.target_log_probs(documents, targets)]))

    if isinstance(model, SampledTextModel):
        samples = [given(one) for one in model.samples]
        sampled = np.stack(samples)
        return PairScores(text, target_tokenizer, ids, log_mean(samples), sampled=sampled, pairs=tuple(pairs))
    return PairScores(text, target_tokenizer, ids, given(model), pairs=tuple(pairs))


__all__ = ["PAIR_QUANTITIES", "Pair", "PairForm", "PairScores", "score_pairs"]
