"""Settings of the linear model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from lmtool.config import Config


def _checked_range(sizes: list[int]) -> list[int]:
    if sizes and (len(sizes) != 2 or not 1 <= sizes[0] <= sizes[1]):
        raise ValueError("it must be empty, or the shortest and the longest n-gram, as in [2, 5]")
    return sizes


class LinearConfig(Config):
    """Weighted counts of words and characters under a linear classifier."""

    words: int = Field(2, ge=0, description="longest n-gram of words that is counted; 0 for none")
    unit: Literal["word", "token"] = Field(
        "word",
        description="what a word is: `word`, of the text (letters and digits, or a single sign, or a single Chinese or "
        "Japanese character); `token`, of the dataset's tokenizer",
    )
    chars: Annotated[list[int], AfterValidator(_checked_range)] = Field(
        [], description="shortest and longest n-gram of characters that is counted as well, as [2, 5]; empty for none"
    )
    across_words: bool = Field(False, description="n-grams of characters may reach over the ends of words")
    lowercase: bool = Field(True, description="`Word` and `word` are the same")
    min_count: int = Field(2, ge=1, description="training documents that an n-gram must be in to be known")
    max_features: int | None = Field(None, ge=1, description="the most frequent n-grams of each kind that are kept")
    tf: Literal["log", "raw", "binary"] = Field(
        "log", description="what a count c in a document is worth: 1 + log c, c, or 1"
    )
    idf: bool = Field(True, description="n-grams count less the more documents have them")
    classifier: Literal["svm", "logistic", "ridge", "sgd", "naive-bayes", "complement-naive-bayes"] = Field(
        "svm", description="`svm`: squared hinge loss, one class against the rest; `sgd`: the hinge loss, in passes"
    )
    nb_features: bool = Field(
        False, description="scale each n-gram by its log-count ratio between classes (NB-SVM); `svm` and `logistic`"
    )
    nb_interpolation: float = Field(
        1.0, ge=0, le=1, description="β of NB-SVM: 0 is naive Bayes, 1 the classifier alone; 0.25 in its paper"
    )
    C: float = Field(1.0, gt=0, description="how much errors cost beside large weights; `svm`, `logistic`, `ridge`")
    alpha: float = Field(
        0.1, gt=0, description="what is added to counts in naive Bayes and NB-SVM; 1e-3 of it is the penalty of `sgd`"
    )
    class_weights: dict[str, float] | Literal["balanced"] = Field(
        {},
        description='how much a document of a class counts, 1 if left out; "balanced": N / (C · documents of it), '
        "where there may be several N / (2 · documents with it), and likewise without it",
    )
    folds: int = Field(
        5, ge=2, description="parts of the training text; how sharp probabilities are is measured on one after another"
    )
    max_iterations: int = Field(1000, ge=1, description="of the optimizer; `sgd`: passes over the training text")
    seed: int = Field(0, ge=0, description="decides the order of documents in `svm` and `sgd`, and the folds")

    @model_validator(mode="after")
    def _check_together(self) -> LinearConfig:
        if not self.words and not self.chars:
            raise ValueError("nothing is counted: `words` is 0 and `chars` is empty")
        if self.nb_features and self.classifier not in ("svm", "logistic"):
            raise ValueError(f"nb_features has no use with classifier '{self.classifier}'; svm and logistic take it")
        return self
