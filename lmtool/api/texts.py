"""A text in, a text out: the contracts of models that translate, summarise and answer, and of what judges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from lmtool.api.classes import Document
    from lmtool.array_types import Stream, StreamLogProbs
    from lmtool.data.dataset import Dataset
    from lmtool.settings import DecodingConfig


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One answer to a document."""

    ids: Stream
    """int32 [L], of the target tokenizer, without the end."""
    log_prob: float
    """Of all of it, its end included, in nats. An answer that was cut off at the greatest length has no end. Zero
    of an answerer that gives no probabilities."""
    score: float
    """What answers are ranked by: `log_prob` over its length penalty, less the coverage penalty."""
    sources: Stream | None = None
    """int32 [L]: which id of the document each token attends to most; None of a model without attention."""
    text: str | None = None
    """What it says, of a model that answers with pieces of the document as they are written there; the ids decoded if
    None."""


class Answerer(Protocol):
    """Answers documents with texts, as `eval` and `predict` see it; a `TextModel` if it can say how likely texts are.

    A target is one line: the ids of its tokens, then the target tokenizer's `eos_id`, which ends it. What is said of a
    document does not depend on those beside it. Threads may call any method but `save` at once.
    """

    vocab_size: int
    """Of the ids of documents."""
    target_vocab_size: int

    def generate(
        self,
        documents: Sequence[Document],
        decoding: DecodingConfig,
        *,
        prefixes: Sequence[Stream] | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Hypothesis]]:
        """The answers to each document, at least one and at most `decoding.n_best`, the best first.

        Args:
            documents: Any number, of any lengths.
            decoding: How the answers are searched for, or drawn.
            prefixes: What each answer begins with, as ids without an end; it is a part of the answer.
            seed: Of samples; the sample of a document depends on it and on the document's number alone.
            first: Number of the first document.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder: arrays as `.npz`/`.safetensors`, the rest as JSON. Never a pickle."""
        ...


class TextModel(Answerer, Protocol):
    """A trained model that answers documents with texts, and gives any text a probability.

    Of an answerer that gives none, evaluations leave out what is made of probabilities.
    """

    def target_log_probs(self, documents: Sequence[Document], targets: Sequence[Stream]) -> list[StreamLogProbs]:
        """Log-probability, in nats, of each token of a document's target given those before it.

        Args:
            documents: What is answered.
            targets: int [L] each, without the end.

        Returns:
            float64 [L + 1] each: the end is the last.
        """
        ...


class ParametricTextModel(TextModel, Protocol):
    """What is asked of a text-to-text model that has a posterior. See `lmtool.api.ParametricModel`."""

    params: Any

    def with_params(self, params: Any) -> TextModel:
        """See `lmtool.api.ParametricModel`."""
        ...

    def averaged(self, params: Sequence[Any]) -> Answerer:
        """What answers by the mean of the probabilities that some weights give: of each next token, if it writes one by
        one. Nothing is saved of it."""
        ...


class FittedTextModel(Protocol):
    """An answerer that is estimated at once instead of taking steps; capabilities `fitted` and `texts`.

    Made by `target(config)`. What `lmtool.api.FittedModel` says holds, with an `Answerer` in the place of the language
    model.
    """

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> Answerer:
        """Estimate from the documents of `dataset.split("train")` and their targets alone.

        Raises:
            DataError: if the dataset has no targets.
        """
        ...

    def load(self, folder: Path) -> Answerer:
        """What `Answerer.save` wrote. Raises DataError if it is damaged."""
        ...


@dataclass(frozen=True, slots=True)
class TextPredictions:
    """What a model answered to some documents, D of them."""

    hypotheses: tuple[str, ...]
    """The best answer to each."""
    references: tuple[tuple[str, ...], ...]
    """What would have been right: one or more texts for each."""


class TextEvaluator(Protocol):
    """Figures of texts beside their references, from statistics of each text that add up. Made by `target(config)`.

    Since they add up, a figure of a whole corpus that is no mean over texts, as BLEU is none, has a bootstrap interval,
    and two models a paired comparison, without another reading of the texts.

    It may also have `judges_alone = True`: then references change nothing of what it says, and there need be none. Such
    an evaluator can be the reward of texts that are written from nothing.
    """

    takes: Literal["texts"]
    names: tuple[str, ...]
    """Of the figures, which are all the better the higher: training keeps the model with the highest, where it is told
    one. The first is what a single text is judged by where one number is wanted, say as a reward."""
    signature: str
    """What the figures depend on besides the texts, as sacrebleu's `nrefs:1|case:mixed|…`; empty if nothing."""

    def statistics(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
        """float64 [M] of one text; M is the same for all. Raises nothing, whatever the texts are."""
        ...

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        """The figures `names` from a sum of statistics over one text or more."""
        ...

    def judge(self, hypothesis: str, references: Sequence[str]) -> float:
        """How good one text is, 0 to 1, the better the higher: smoothed where `figures` of one text would be coarse.

        Where it is a reward, several threads call it at once.
        """
        ...


__all__ = [
    "Answerer",
    "FittedTextModel",
    "Hypothesis",
    "ParametricTextModel",
    "TextEvaluator",
    "TextModel",
    "TextPredictions",
]
