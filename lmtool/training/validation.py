"""How good a model is on the validation split: figures that pick the best one and say when to stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from lmtool.errors import ConfigError
from lmtool.evaluation import cut, predictions
from lmtool.evaluation.answers import AnswerText
from lmtool.evaluation.classes import class_predictions, is_right, nats
from lmtool.evaluation.texts import answer_figures
from lmtool.settings import LOWER_IS_BETTER, DecodingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lmtool.api import Classifier, LanguageModel, TextEvaluator, TextModel
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset, Split
    from lmtool.predicts import Predicts

WINDOW = 128
"""Time steps of a text that are read at once."""
AT_ONCE = 512
"""Documents whose targets are scored together."""


class Validation(Protocol):
    """Figures of a model on the validation split."""

    names: tuple[str, ...]
    """Of the figures; `loss`, in nats per token or per document, is the first."""

    def __call__(self, model: Any, report: Callable[[float], None]) -> dict[str, float]:
        """Figures by name; `report` is told the fraction of the work that is done."""
        ...


class TokenValidation:
    """Of a language model: nats per token, in `batch_size` pieces of the text."""

    names: tuple[str, ...] = ("loss", "token_perplexity")

    def __init__(self, dataset: Dataset, batch_size: int) -> None:
        self.split, self.tokenizer = dataset.split("valid"), dataset.tokenizer
        self.streams = cut(self.split, self.tokenizer.eos_id, batch_size)

    def __call__(self, model: LanguageModel, report: Callable[[float], None]) -> dict[str, float]:
        total = 0.0
        for piece, fraction in predictions(model, self.split, self.tokenizer, self.streams, bptt=WINDOW):
            total -= float(np.sum(piece.log_probs))
            report(fraction)
        return _of_tokens(total / self.split.num_tokens)


class TokenRewardValidation(TokenValidation):
    """As `TokenValidation`, and how good texts are that the model writes: the mean judgement of them."""

    names = (*TokenValidation.names, "reward")

    def __init__(self, dataset: Dataset, batch_size: int, reward_of: Callable[[Any], float]) -> None:
        super().__init__(dataset, batch_size)
        self.reward_of = reward_of
        """From parameters."""

    def __call__(self, model: Any, report: Callable[[float], None]) -> dict[str, float]:
        figures = super().__call__(model, lambda fraction: report(fraction / 2))
        reward = self.reward_of(model.params)
        report(1.0)
        return {**figures, "reward": reward}


class ClassValidation:
    """Of a classifier: nats per document, and the share of documents whose class it gets right."""

    names: tuple[str, ...] = ("loss", "accuracy")

    def __init__(self, split: Split) -> None:
        """Raises DataError if a document lacks a label: now, not after an epoch."""
        self.split = split
        _ = split.label_matrix if split.labelled.labels.multi else split.label_ids

    def __call__(self, model: Classifier, report: Callable[[float], None]) -> dict[str, float]:
        total, right = 0.0, 0
        for piece, fraction in class_predictions(model, self.split):
            total += float(nats(piece).sum())
            right += int(is_right(piece).sum())
            report(fraction)
        documents = self.split.num_documents
        return {"loss": total / documents, "accuracy": right / documents}


class TextValidation:
    """Of a text-to-text model: nats per token of the first target of each document, ends included."""

    names: tuple[str, ...] = ("loss", "token_perplexity")

    def __init__(self, split: Split) -> None:
        """Raises DataError if there are no targets: now, not after an epoch."""
        self.split = split
        lengths = split.target_lengths
        self.num_tokens = int(lengths.sum()) + len(lengths)
        self.order = np.argsort(lengths, kind="stable")
        """Numbers of documents by the lengths of their targets, so that few of a block's positions are padding."""

    def __call__(self, model: TextModel, report: Callable[[float], None]) -> dict[str, float]:
        total = 0.0
        for start in range(0, len(self.order), AT_ONCE):
            numbers = self.order[start : start + AT_ONCE].tolist()
            documents = [self.split.document(number) for number in numbers]
            found = model.target_log_probs(documents, [self.split.target(number) for number in numbers])
            total -= sum(float(np.sum(log_probs)) for log_probs in found)
            report((start + len(numbers)) / len(self.order))
        return _of_tokens(total / self.num_tokens)


class AnswerValidation(TextValidation):
    """As `TextValidation`, and how good the likeliest answers are, by greedy search.

    Args:
        split: Of documents with targets.
        evaluators: Whose figures are wanted; all are best where they are highest.
        spelled: Answers to text.
    """

    def __init__(self, split: Split, evaluators: Sequence[TextEvaluator], spelled: AnswerText) -> None:
        super().__init__(split)
        self.evaluators, self.spelled = evaluators, spelled
        self.names = (*TextValidation.names, *(name for one in evaluators for name in one.names))
        self.decoding = DecodingConfig.model_validate({"beam": 1})

    def __call__(self, model: TextModel, report: Callable[[float], None]) -> dict[str, float]:
        figures = super().__call__(model, lambda fraction: report(fraction / 2))
        of_answers = answer_figures(
            model,
            self.split,
            self.evaluators,
            self.spelled,
            self.decoding,
            progress=lambda fraction: report(0.5 + fraction / 2),
        )
        return {**figures, **of_answers}


class MeanJudgement:
    """An evaluator of texts whose one figure, `reward`, is the mean of what another one judges of each."""

    takes: Literal["texts"] = "texts"
    names: tuple[str, ...] = ("reward",)
    signature = ""

    def __init__(self, evaluator: TextEvaluator) -> None:
        self.judge = evaluator.judge

    def statistics(self, hypothesis: str, references: Sequence[str]) -> np.ndarray:
        """float64 [2]: the judgement, and one for the text."""
        return np.array([self.judge(hypothesis, references), 1.0], np.float64)

    def figures(self, totals: np.ndarray) -> dict[str, float]:
        return {"reward": float(totals[0] / totals[1])}


def _of_tokens(loss: float) -> dict[str, float]:
    return {"loss": loss, "token_perplexity": math.exp(loss) if loss < 700 else math.inf}


KINDS: dict[str, type[TokenValidation] | type[ClassValidation] | type[TextValidation]] = {
    "tokens": TokenValidation,
    "classes": ClassValidation,
    "texts": TextValidation,
}


def make_validation(
    dataset: Dataset,
    training: TrainingConfig,
    *,
    predicts: Predicts,
    evaluators: Sequence[TextEvaluator] = (),
    reward: TextEvaluator | None = None,
    task: Any = None,
) -> Validation | None:
    """None if there is nothing to validate on.

    Args:
        dataset: Whose `valid` split is used.
        training: Says how much is read at once.
        predicts: What the model gives.
        evaluators: Of answers, where the model gives texts.
        reward: What a task learns by, if it learns from rewards.
        task: A language model's that learns from rewards: its `reward_on(split)` gives what judges its parameters.

    Raises:
        DataError: if documents of the split lack what they are compared with.
    """
    if "valid" not in dataset.split_names or not dataset.split("valid").num_tokens:
        return None
    split = dataset.split("valid")
    if predicts == "tokens":
        if reward is not None:
            return TokenRewardValidation(dataset, training.batch_size, task.reward_on(split))
        return TokenValidation(dataset, training.batch_size)
    if predicts == "classes":
        return ClassValidation(split)
    judges = [*evaluators, *([MeanJudgement(reward)] if reward is not None else [])]
    spelled = AnswerText(dataset.tokenizer, dataset.target_tokenizer)
    return AnswerValidation(split, judges, spelled) if judges else TextValidation(split)


def check_monitor(
    monitor: str, predicts: Predicts, evaluators: Sequence[TextEvaluator] = (), *, rewarded: bool = False
) -> None:
    """Raise ConfigError if validation does not have a figure of this name, or has one twice.

    Args:
        monitor: The figure's name.
        predicts: What the model gives.
        evaluators: Of answers.
        rewarded: Whether it learns from rewards.
    """
    names = (*KINDS[predicts].names, *(("reward",) if rewarded else ()))
    for name in (name for one in evaluators for name in one.names):
        if name in names:
            raise ConfigError(f"training.evaluators: one of them gives '{name}', which validation has anyhow")
        names = (*names, name)
    if monitor not in names:
        hint = 'training.evaluators adds figures of answers, as ["bleu"]' if predicts == "texts" else None
        raise ConfigError(f"training.monitor must be one of {', '.join(names)}, got '{monitor}'", hint)


def objective(figures: Mapping[str, float], monitor: str) -> float:
    """What is best where it is lowest."""
    return figures[monitor] if monitor in LOWER_IS_BETTER else -figures[monitor]


__all__ = [
    "AnswerValidation",
    "ClassValidation",
    "MeanJudgement",
    "TextValidation",
    "TokenRewardValidation",
    "TokenValidation",
    "Validation",
    "check_monitor",
    "make_validation",
    "objective",
]
