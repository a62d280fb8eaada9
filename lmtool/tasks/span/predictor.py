"""A trained network as a `TextModel`: the best spans of a context, spelt as they stand there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from lmtool.api import Hypothesis
from lmtool.data.tokenizer_folder import FOLDER, open_tokenizer, save_tokenizer
from lmtool.errors import DataError
from lmtool.facts import read_facts, write_facts
from lmtool.registry import Registry
from lmtool.tasks import stored
from lmtool.tasks.buckets import assign, grouped
from lmtool.tasks.files import FACTS
from lmtool.tasks.masking import LOWEST
from lmtool.tasks.side_by_side import side_by_side
from lmtool.tasks.span.network import SpanNetwork
from lmtool.tasks.span.questions import Splitter, occurrences, spellings
from lmtool.tasks.span.spans import allowed, best_spans, span_log_probs
from lmtool.tasks.span.spelling import spelt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmtool.api import Backbone, Document, Tokenizer
    from lmtool.array_types import Stream, StreamLogProbs
    from lmtool.registry import Found
    from lmtool.settings import DecodingConfig
    from lmtool.tasks.span.config import SpanConfig
    from lmtool.tasks.span.questions import Question

POSITIONS = 1 << 13
"""Tokens of contexts that are computed at once; the rows of a batch depend on its widths alone, so that neither the
shape nor the last bits of what is said of a document depend on those beside it."""
MOST_ROWS = 32
OTHER = 1e-3
"""Probability of all texts that are no span of the context, so that none is impossible."""


@dataclass(frozen=True)
class Facts:
    """What a model knows besides its weights and its tokenizer."""

    vocab_size: int
    eos_id: int
    question_width: int
    """To which questions are padded."""
    widths: tuple[int, ...]
    """To which contexts are padded; ascending."""

    @classmethod
    def parse(cls, values: Any) -> Facts:
        widths = tuple(map(int, values["widths"]))
        if not widths:
            raise ValueError("no widths")
        return cls(int(values["vocab_size"]), int(values["eos_id"]), int(values["question_width"]), widths)


class Functions:
    """The network's compiled functions, shared by all predictors of it."""

    def __init__(self, network: SpanNetwork) -> None:
        self.network = network
        self.log_probs = jax.jit(self._log_probs)

    def _log_probs(self, params: Any, question: Any, question_mask: Any, context: Any, mask: Any) -> jax.Array:
        """Of each span, float32 [B, T, L]; see `span_log_probs`."""
        # TPUs and recent GPUs multiply float32 with fewer bits unless told otherwise.
        with jax.default_matmul_precision("highest"):
            start, end = self.network.apply(params, question, question_mask, context, mask, train=False)
        inside = allowed(context, mask, self.network.eos_id, self.network.config.max_answer_length)
        return span_log_probs(start, end, inside)


class SpanModel:
    """See `lmtool.api.TextModel`.

    A text has the probability of all spans that are it, added up, or, as one of `OTHER` of all answers, that of its
    tokens if each id of the vocabulary is as likely as another. It is given as a whole: the tokens before the end have
    no probability of their own.
    """

    def __init__(self, functions: Functions, params: Any, facts: Facts, tokenizer: Tokenizer, found: Found) -> None:
        self.functions, self.params, self.facts, self.tokenizer = functions, params, facts, tokenizer
        self.vocab_size = self.target_vocab_size = facts.vocab_size
        self._found, self._config = found, functions.network.config
        self._splitter = Splitter.of(self._config, facts.eos_id)

    def generate(
        self,
        documents: Sequence[Document],
        decoding: DecodingConfig,
        *,
        prefixes: Sequence[Stream] | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Hypothesis]]:
        """See `lmtool.api.TextModel`. Of `decoding`, `n_best`, the lengths, `sample` and `temperature` count: all spans
        are looked at, and nothing is written token by token."""
        questions = [self._splitter(document.ids) for document in documents]
        found: list[list[Hypothesis]] = [[] for _ in documents]
        for number, log_probs in self._spans(questions):
            prefix = np.zeros(0, np.int32) if prefixes is None else prefixes[number]
            ranked = _restricted(log_probs, questions[number].context, prefix, decoding)
            if decoding.sample:
                rng = np.random.default_rng([seed, first + number])
                noise = rng.gumbel(size=ranked.shape)  # the largest of sums with it is a sample
                ranked = np.where(ranked > LOWEST / 2, ranked / decoding.temperature + noise, LOWEST)
            some = best_spans(ranked, 1 if decoding.n_best == 1 else ranked.size)
            found[number] = self._distinct(documents[number], questions[number], log_probs, some, decoding.n_best)
            found[number] = found[number] or [self._without_span(questions[number], log_probs, prefix)]
        return found

    def _distinct(
        self, document: Document, question: Question, log_probs: np.ndarray, spans: np.ndarray, count: int
    ) -> list[Hypothesis]:
        """The first spans that differ in their ids."""
        found: dict[bytes, Hypothesis] = {}
        for start, size in spans.tolist():
            ids = question.context[start : start + size + 1]
            if ids.tobytes() in found:
                continue
            if len(found) == count:
                break
            places = question.offset + np.arange(start, start + size + 1, dtype=np.int32)
            total, score = self._log_prob(question, log_probs, ids), float(log_probs[start, size])
            found[ids.tobytes()] = Hypothesis(ids, total, score, places, self._text(document, places))
        return list(found.values())

    def _without_span(self, question: Question, log_probs: np.ndarray, prefix: Stream) -> Hypothesis:
        """What is said where no span is allowed: what the answer must begin with, be it nothing."""
        total = self._log_prob(question, log_probs, prefix)
        return Hypothesis(np.asarray(prefix, np.int32), total, total)

    def _text(self, document: Document, places: np.ndarray) -> str:
        """How a span is spelt in its line."""
        ends = np.flatnonzero(document.ids == self.facts.eos_id)
        line = int(np.searchsorted(ends, places[0]))
        begin, end = int(ends[line - 1]) + 1, int(ends[line]) if line < len(ends) else len(document.ids)
        text, ids = document.text.split("\n")[line], document.ids[begin:end].tolist()
        return spelt(self.tokenizer, text, ids, int(places[0]) - begin, int(places[-1]) + 1 - begin)

    def target_log_probs(self, documents: Sequence[Document], targets: Sequence[Stream]) -> list[StreamLogProbs]:
        questions = [self._splitter(document.ids) for document in documents]
        found = [np.zeros(len(target) + 1) for target in targets]
        for number, log_probs in self._spans(questions):
            found[number][-1] = self._log_prob(questions[number], log_probs, targets[number])
        return found

    def _log_prob(self, question: Question, log_probs: np.ndarray, target: Stream) -> float:
        """Of a text, in nats."""
        text = self.tokenizer.decode(np.asarray(target).tolist()).strip()
        ids = [np.asarray(target, np.int32), *spellings(self.tokenizer, text)]
        places = occurrences(question.context, ids, self._config.max_answer_length)
        other = np.log(OTHER) - (len(target) + 1) * np.log(self.vocab_size)
        among = log_probs[places[:, 0], places[:, 1]].astype(np.float64)
        return float(np.logaddexp(np.log1p(-OTHER) + np.logaddexp.reduce(among, initial=-np.inf), other))

    def _spans(self, questions: Sequence[Question]) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each question, and the log-probabilities of its spans, [T, L]."""
        for numbers, log_probs in side_by_side(self._some_log_probs, self._batches(questions)):
            for row, number in enumerate(numbers):
                yield number, log_probs[row, : len(questions[number].context)]

    def _some_log_probs(self, *arrays: np.ndarray) -> np.ndarray:
        return np.asarray(self.functions.log_probs(self.params, *arrays))

    def _batches(self, questions: Sequence[Question]) -> Iterator[tuple[object, ...]]:
        """Numbers of questions, and what is computed of them at once."""
        config = self._config
        asked = _widths(
            [len(one.question) for one in questions], (self.facts.question_width,), config.max_question_length
        )
        read = _widths([len(one.context) for one in questions], self.facts.widths, config.max_context_length)
        for (question_width, context_width), members in grouped(list(zip(asked, read, strict=True))):
            rows = max(1, min(MOST_ROWS, POSITIONS // context_width))
            for start in range(0, len(members), rows):
                numbers = members[start : start + rows]
                question = self._padded([questions[number].question for number in numbers], rows, question_width)
                context = self._padded([questions[number].context for number in numbers], rows, context_width)
                yield numbers, *question, *context

    def _padded(self, texts: list[Stream], rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """int32 ids and bool mask, [rows, width]; a row without a text is read as a single id."""
        ids, mask = np.full((rows, width), self.facts.eos_id, np.int32), np.zeros((rows, width), bool)
        mask[:, 0] = True
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, True
        return ids, mask

    def with_params(self, params: Any) -> SpanModel:
        return SpanModel(self.functions, params, self.facts, self.tokenizer, self._found)

    def averaged(self, params: Sequence[Any]) -> AveragedSpanModel:
        return AveragedSpanModel(self, params)

    def save(self, folder: Path) -> None:
        """`weights.safetensors`, its names the paths in the parameters, `model.json`, and `tokenizer/`."""
        # Written by Python, so that a full disk is an OSError as everywhere.
        (folder / stored.WEIGHTS).write_bytes(stored.to_safetensors(self.params))
        write_facts(folder / FACTS, asdict(self.facts))
        save_tokenizer(self.tokenizer, self._found, folder / FOLDER)


def _widths(lengths: Sequence[int], widths: tuple[int, ...], longest: int) -> list[int]:
    """To which texts of these lengths are padded: widths that training had, or, of longer ones, twice as much."""
    while widths[-1] < longest:
        widths = (*widths, min(2 * widths[-1], longest))
    return [widths[bucket] for bucket in assign(np.array(lengths, np.int64), widths)]


class AveragedSpanModel(SpanModel):
    """Each span has the mean of the probabilities that some weights give it, and so has each text."""

    def __init__(self, model: SpanModel, params: Sequence[Any]) -> None:
        super().__init__(model.functions, params[0], model.facts, model.tokenizer, model._found)
        self.all_params = tuple(params)

    def _some_log_probs(self, *arrays: np.ndarray) -> np.ndarray:
        every = (np.asarray(self.functions.log_probs(own, *arrays), np.float64) for own in self.all_params)
        mean: np.ndarray = reduce(np.logaddexp, every) - np.log(len(self.all_params))
        return mean.astype(np.float32)

    def save(self, folder: Path) -> None:
        raise NotImplementedError("of several weights nothing is saved")


def _restricted(log_probs: np.ndarray, context: Stream, prefix: Stream, decoding: DecodingConfig) -> np.ndarray:
    """Those of the spans that an answer may be, [T, L]; very low for the others."""
    lengths = np.arange(1, log_probs.shape[1] + 1)
    wanted = (lengths >= max(decoding.min_length, len(prefix))) & (lengths <= (decoding.max_length or len(lengths)))
    begins = np.zeros(len(context), bool)
    if len(prefix):
        begins[occurrences(context, [prefix], len(context))[:, 0]] = True
    else:
        begins[:] = True
    return np.where(begins[:, None] & wanted[None, :], log_probs, LOWEST)


def load_span_model(folder: Path, config: SpanConfig, backbone: Backbone) -> SpanModel:
    """What `SpanModel.save` wrote. Raises DataError if a file is missing, damaged, or another network's."""
    facts = read_facts(folder / FACTS, Facts.parse)
    network = SpanNetwork(config, facts.vocab_size, facts.eos_id, backbone)
    params = stored.as_params(folder, stored.read_tensors(folder), network)
    tokenizer, found = open_tokenizer(folder, Registry())
    if tokenizer.vocab_size != facts.vocab_size:
        raise DataError(f"{folder / FOLDER} has {tokenizer.vocab_size} ids, the model {facts.vocab_size}")
    return SpanModel(Functions(network), params, facts, tokenizer, found)


__all__ = ["OTHER", "Facts", "Functions", "SpanModel", "load_span_model"]
