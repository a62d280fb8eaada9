"""Extractive question answering: the negative log-likelihood of a question's answers among all spans of its context."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.data.tokenizer_folder import open_tokenizer
from lmtool.errors import ConfigError, DataError
from lmtool.registry import Registry
from lmtool.tasks.depths import param_depths
from lmtool.tasks.network import PENALTIES, with_gradient_of
from lmtool.tasks.span.batches import Batches
from lmtool.tasks.span.network import SpanNetwork
from lmtool.tasks.span.predictor import Facts, Functions, SpanModel, load_span_model
from lmtool.tasks.span.questions import Splitter, occurrences, spellings
from lmtool.tasks.span.spans import allowed, marginal, span_log_probs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmtool.api import Backbone, Tokenizer
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset, Split
    from lmtool.tasks.span.config import SpanConfig
    from lmtool.tasks.span.questions import Question

logger = logging.getLogger("lmtool.span")


class SpanAnswering:
    """The `span` task; see `lmtool.api.Task`. Its questions are independent, so it has no carry."""

    unit = "documents"

    def __init__(self, config: SpanConfig, *, dataset: Dataset, backbone: Backbone, training: TrainingConfig) -> None:
        if training.steps_per_dispatch > 1:
            raise ConfigError(
                f"training.steps_per_dispatch must be 1 for spans, got {training.steps_per_dispatch}: "
                "batches have several shapes"
            )
        if dataset.has_target_tokenizer:
            raise ConfigError(
                f"an answer is a piece of its context, and targets of {dataset.path} have a tokenizer of their own",
                hint="leave data.target_tokenizer out",
            )
        tokenizer, found = open_tokenizer(dataset.path, Registry())
        self.config = config
        questions = Questions(dataset.split("train"), Splitter.of(config, tokenizer.eos_id), tokenizer, config)
        self.num_data = len(questions.answers)
        self.batches = Batches(
            questions.read,
            questions.answers,
            questions.lengths,
            batch_size=training.batch_size,
            max_answer_length=config.max_answer_length,
            pad_id=tokenizer.eos_id,
            seed=training.seed,
            max_padding=config.max_padding,
        )
        self.network = SpanNetwork(
            config, tokenizer.vocab_size, tokenizer.eos_id, backbone, precision=training.precision
        )
        widths = self.batches.question_width, self.batches.widths
        self._facts = Facts(tokenizer.vocab_size, tokenizer.eos_id, *widths)
        self._tokenizer = (tokenizer, found)

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    def init(self, key: Key) -> Any:
        return self.network.init_params(key)

    def initial_carry(self) -> Any:
        return ()

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return self.batches.batch(step)

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """See `lmtool.api.Task`: nats per question. What a backbone adds as a penalty is in the gradient, not in the
        value."""
        context, mask = batch["context"], batch["context_mask"]
        (start, end), sown = self.network.apply(
            params,
            batch["question"],
            batch["question_mask"],
            context,
            mask,
            train=True,
            rngs={"dropout": key},
            mutable=[PENALTIES],
        )
        inside = allowed(context, mask, self.network.eos_id, self.config.max_answer_length)
        nll = -marginal(span_log_probs(start, end, inside), batch["answers"])
        real = batch["weights"]
        count = real.sum()
        loss = jnp.sum(jnp.where(real > 0, nll, 0.0)) / jnp.maximum(count, 1.0)
        penalty = sum(jax.tree.leaves(sown), start=jnp.zeros(()))
        return with_gradient_of(loss, penalty), (carry, count.astype(jnp.int32))

    def param_depths(self, params: Any) -> Any:
        """See `lmtool.tasks.depths`: what makes the backbone's input lies at the bottom with the embedding."""
        return param_depths(params, bottom=("embedding", "match", "aligned_kernel", "likeness_kernel"))

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self.network)

    def predictor(self, params: Any) -> SpanModel:
        return SpanModel(self._functions, params, self._facts, *self._tokenizer)

    @classmethod
    def load(cls, folder: Path, config: SpanConfig, *, backbone: Backbone) -> SpanModel:
        return load_span_model(folder, config, backbone)


class Questions:
    """The questions of a split whose answers stand in what is read of their contexts.

    Args:
        split: With targets; any of a document's counts as an answer.
        splitter: Decides what is read.
        tokenizer: Of documents and answers.
        config: Of the task.

    Raises:
        DataError: if there are no targets, or none that stands in its context.
    """

    def __init__(self, split: Split, splitter: Splitter, tokenizer: Tokenizer, config: SpanConfig) -> None:
        _ = split.target_files
        self.split, self.splitter = split, splitter
        numbers, self.answers, lengths = [], [], []
        for number in range(split.num_documents):
            question = self._question(number)
            ids = (one for text in split.references(number) for one in spellings(tokenizer, text))
            known = [one for one in ids if tokenizer.unk_id not in one]  # an unknown token may be any word
            found = occurrences(question.context, known, config.max_answer_length)
            if len(found):
                numbers.append(number)
                self.answers.append(found)
                lengths.append((len(question.question), len(question.context)))
        self._numbers, self.lengths = numbers, np.array(lengths, np.int64).reshape(-1, 2)
        self._report(split, config)

    def read(self, number: int) -> Question:
        """One that has an answer, counted from 0."""
        return self._question(self._numbers[number])

    def _question(self, number: int) -> Question:
        starts, ends = self.split.document_starts, self.split.document_ends
        return self.splitter(self.split.read(int(starts[number]), int(ends[number])))

    def _report(self, split: Split, config: SpanConfig) -> None:
        lacking = split.num_documents - len(self.answers)
        what = f"in the first {config.max_context_length} tokens of the context, in {config.max_answer_length} or fewer"
        if not self.answers:
            hint = "a document is a question and, from its second line on, its context: `--set data.reader.text_field="
            raise DataError(f"no answer of the {split.name} split stands {what}", hint + '\'["question", "context"]\'`')
        if lacking:
            total = split.num_documents
            logger.warning(f"{lacking:,} of {total:,} questions are left out of training: no answer stands {what}")


__all__ = ["Questions", "SpanAnswering"]
