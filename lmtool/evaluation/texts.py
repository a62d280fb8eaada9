"""A text model and documents with targets to answers, and those to the evaluators' figures."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from lmtool.api import Metric, TextPredictions
from lmtool.errors import DataError
from lmtool.evaluation import DamagedModelError, merge
from lmtool.evaluation.answers import AnswerText
from lmtool.evaluation.bootstrap import Spread, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmtool.api import Answerer, Document, Hypothesis, TextEvaluator, TextModel
    from lmtool.data.dataset import Split
    from lmtool.evaluation.bootstrap import Figures
    from lmtool.settings import DecodingConfig

AT_ONCE = 2048
"""Documents that a model answers at once: memory is bounded by their number, not by that of all."""


class TargetLikelihood:
    """Figures of what a model gives to the first reference of each text, from its nats and tokens: [2]."""

    names = ("nats_per_token", "token_perplexity")

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        loss = float(totals[0] / totals[1])
        return {"nats_per_token": loss, "token_perplexity": math.exp(loss) if loss < 700 else math.inf}


@dataclass(frozen=True)
class Scored:
    """The statistics of each text, and what makes figures of their sums."""

    maker: Figures
    statistics: np.ndarray
    """float64 [D, M]."""
    signature: str = ""

    @property
    def figures(self) -> dict[str, float]:
        return self.maker.figures(self.statistics.sum(axis=0))


@dataclass(frozen=True)
class TextEvaluation:
    """What came of evaluating one text model on some documents."""

    metrics: dict[str, Metric]
    spreads: dict[str, Spread]
    """Of the metrics that have one."""
    signatures: dict[str, str]
    """Of the figures that depend on more than the texts; with the number of references, as sacrebleu has it."""
    scored: list[Scored]
    """All that comparisons with other models on the same texts need."""
    target_tokens: int
    """Of the first references, their ends included."""
    references_digest: int
    """Equal for the same references of the same documents."""
    seconds: float
    seconds_answering: float
    """Of these, how long the model took to answer; compilation is a part of it."""


@dataclass(frozen=True)
class Answers:
    """What a model said of some documents in a row."""

    predictions: TextPredictions
    nats: np.ndarray | None
    """float64 [D]: what the first reference of each cost, its end included; None of what gives no probabilities."""
    tokens: np.ndarray
    """int64 [D]: of the first reference, its end included."""
    seconds: float
    """How long the model took to answer."""


def evaluate_texts(
    model: Answerer,
    split: Split,
    evaluators: Sequence[TextEvaluator],
    spelled: AnswerText,
    decoding: DecodingConfig,
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda fraction: None,
    write: Callable[[Sequence[str]], None] = lambda hypotheses: None,
) -> TextEvaluation:
    """Every evaluator's figures, and what the model gives to the references, if it gives probabilities.

    Memory: the texts of `AT_ONCE` documents, and the evaluators' statistics of all, some 8 to 30 numbers each.

    Args:
        model: Its ids are the split's.
        split: Of documents with targets.
        evaluators: That take texts.
        spelled: Hypotheses to text.
        decoding: How answers are searched for, or drawn.
        seed: Of samples.
        progress: Called with the fraction of the work that is done, 0 to 1.
        write: Called with the best answers, in order, as they come.

    Raises:
        DataError: if there are no documents, they have no targets, or the model gives something that no probability
            has.
        ConfigError: if two evaluators give the same figure.
    """
    start = time.perf_counter()
    rows: list[list[np.ndarray]] = [[] for _ in evaluators]
    costs: list[np.ndarray] = []
    digest, counts, answering, tokens, done = 0, set(), 0.0, 0, 0
    for piece in text_predictions(model, split, spelled, decoding, seed=seed):
        hypotheses, references = piece.predictions.hypotheses, piece.predictions.references
        for one, row in zip(evaluators, rows, strict=True):
            row += map(one.statistics, hypotheses, references)
        if piece.nats is not None:
            costs.append(np.stack([piece.nats, piece.tokens], axis=1))
        write(hypotheses)
        digest = _digest(digest, references)
        counts |= set(map(len, references))
        answering, tokens, done = answering + piece.seconds, tokens + int(piece.tokens.sum()), done + len(hypotheses)
        progress(done / split.num_documents)
    number = f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}"
    scored = [
        Scored(one, np.stack(row), "|".join(filter(None, [number, one.signature])))
        for one, row in zip(evaluators, rows, strict=True)
    ]
    if costs:
        scored.append(Scored(TargetLikelihood(), np.concatenate(costs)))
    metrics, spreads, signatures = _summary(scored)
    seconds = time.perf_counter() - start
    return TextEvaluation(metrics, spreads, signatures, scored, tokens, digest, seconds, answering)


def _summary(scored: list[Scored]) -> tuple[dict[str, Metric], dict[str, Spread], dict[str, str]]:
    """Figures, their spreads and their signatures, by name."""
    metrics: dict[str, Metric] = {}
    spreads: dict[str, Spread] = {}
    signatures: dict[str, str] = {}
    for one in scored:
        found = spread(one.maker, one.statistics)
        likelihood = isinstance(one.maker, TargetLikelihood)
        n = int(one.statistics[:, 1].sum()) if likelihood else len(one.statistics)
        merge(metrics, {name: Metric(value, n, _stderr(found, name)) for name, value in one.figures.items()})
        spreads |= found
        signatures |= {name: one.signature for name in one.maker.names if one.signature}
    return metrics, spreads, signatures


def answer_figures(
    model: Answerer,
    split: Split,
    evaluators: Sequence[TextEvaluator],
    spelled: AnswerText,
    decoding: DecodingConfig,
    *,
    progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, float]:
    """Figures of the answers alone, by name, as validation in training asks for: no errors, nothing of probabilities.

    See `evaluate_texts`. All are best where they are highest.
    """
    totals: list[Any] = [0.0] * len(evaluators)
    done = 0
    for piece in text_predictions(model, split, spelled, decoding, with_nats=False, at_once=AT_ONCE // 4):
        pairs = list(zip(piece.predictions.hypotheses, piece.predictions.references, strict=True))
        for number, one in enumerate(evaluators):
            totals[number] += np.sum([one.statistics(*pair) for pair in pairs], axis=0)
        done += len(pairs)
        progress(done / split.num_documents)
    return {k: v for one, total in zip(evaluators, totals, strict=True) for k, v in one.figures(total).items()}


def _stderr(found: dict[str, Spread], name: str) -> float | None:
    return found[name].stderr if name in found else None


def _digest(before: int, references: Sequence[Sequence[str]]) -> int:
    import zlib

    return zlib.crc32("\0".join("\n".join(some) for some in references).encode("utf-8", "surrogatepass"), before)


def text_predictions(
    model: Answerer,
    split: Split,
    spelled: AnswerText,
    decoding: DecodingConfig,
    *,
    seed: int = 0,
    with_nats: bool = True,
    at_once: int = AT_ONCE,
) -> Iterator[Answers]:
    """The best answer to every document once, in order, some documents at a time.

    Args:
        model: Its ids are the split's.
        split: Of documents with targets.
        spelled: Hypotheses to text.
        decoding: How answers are searched for, or drawn.
        seed: Of samples.
        with_nats: Whether the model is also asked what it gives to the first references.
        at_once: Documents that it is asked at a time.

    Raises:
        DataError: if there are no documents, or they have no targets.
        DamagedModelError: if the model gives something that is no log-probability.
    """
    if not split.num_documents:
        raise DataError("there is no document to evaluate on")
    decoding = decoding.model_copy(update={"n_best": 1})
    documents, targets, first = split.documents(), split.targets(), 0
    while batch := list(islice(documents, at_once)):
        start = time.perf_counter()
        found = checked_answers(model.generate(batch, decoding, seed=seed, first=first))
        seconds = time.perf_counter() - start
        hypotheses = tuple(spelled(some[0], document) for some, document in zip(found, batch, strict=True))
        references = tuple(split.references(number) for number in range(first, first + len(batch)))
        costs = _costs(model if with_nats else None, batch, targets)
        yield Answers(TextPredictions(hypotheses, references), *costs, seconds)
        first += len(batch)


def _costs(
    model: Answerer | None, batch: list[Document], targets: Iterator[np.ndarray]
) -> tuple[np.ndarray | None, np.ndarray]:
    """Nats, if the model gives probabilities, and tokens of each target."""
    wanted = list(islice(targets, len(batch)))
    if model is not None and gives_log_probs(model):
        return checked_nats(model, batch, wanted)
    return None, np.array([len(one) + 1 for one in wanted], np.int64)


def checked_answers(found: list[list[Hypothesis]]) -> list[list[Hypothesis]]:
    """The same. Raises DamagedModelError if a document has no answer: none does where probabilities are no numbers."""
    if not all(found):
        raise DamagedModelError("the model gives no answer a probability: its parameters are damaged")
    return found


def gives_log_probs(model: Answerer) -> TypeGuard[TextModel]:
    """Whether a model says how likely texts are; see `lmtool.api.Answerer`."""
    return hasattr(model, "target_log_probs")


def checked_nats(
    model: TextModel, documents: Sequence[Document], targets: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What each target costs in nats, float64 [D], and its tokens, int64 [D], its end included in both.

    Raises:
        DamagedModelError: if the model gives something that is no log-probability.
    """
    found = model.target_log_probs(documents, targets)
    for one in found:
        if not (one < 1e-3).all():
            wrong = one[~(one < 1e-3)][0]
            raise DamagedModelError(
                f"the model gives a token the log-probability {wrong:g}: its parameters are damaged"
            )
    nats = np.array([-float(one.sum()) for one in found], np.float64)
    return nats, np.array([len(one) for one in found], np.int64)


__all__ = [
    "AT_ONCE",
    "Answers",
    "Scored",
    "TargetLikelihood",
    "TextEvaluation",
    "answer_figures",
    "checked_answers",
    "checked_nats",
    "evaluate_texts",
    "gives_log_probs",
    "text_predictions",
]
