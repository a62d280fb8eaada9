"""Settings of the embedding bag."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lmtool.config import Config


class BagConfig(Config):
    """`[model] name = "bag"`: what counts as a feature, how features are weighted, and how they are trained."""

    units: Literal["words", "tokens"] = Field(
        "words",
        description="`words`: runs of letters and digits of the text, each Chinese or Japanese character by itself; "
        "`tokens`: the tokenizer's",
    )
    lowercase: bool = Field(True, description="`words` only: turn text to lower case first")
    punctuation: bool = Field(False, description="`words` only: each mark counts as a word")
    word_ngrams: int = Field(2, ge=1, le=8, description="longest run of words that is a feature of its own")
    char_ngrams: list[int] = Field(
        [], description="`words` only: shortest and longest run of characters within a word, as in [3, 5]; [] for none"
    )
    min_count: int = Field(2, ge=1, description="documents of the training text that a feature must stand in")
    buckets: int | None = Field(
        None, ge=1, description="hash n-grams into so many, to bound memory; none are mixed up if left out"
    )
    weighting: Literal["tf-idf", "mean"] = Field(
        "tf-idf", description="of a document's features; tf-idf counts logarithmically and makes its vector of length 1"
    )
    ngram_weight: float = Field(1.0, gt=0, description="`tf-idf` only: of n-grams beside words, which weigh 1")
    dim: int = Field(100, ge=1, description="E, the size of the embedding")
    epochs: int = Field(5, ge=1, description="passes over the training documents")
    batch_size: int = Field(64, ge=1, description="documents between two updates")
    learning_rate: float = Field(0.004, gt=0, description="at the start; it falls to zero linearly")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="rate at which a document's features are left out")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the document's vector")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    l2: float = Field(0.0, ge=0, description="weight decay of the features of each batch, times the learning rate")
    members: int = Field(1, ge=1, le=100, description="bags trained from different seeds, whose logits are averaged")
    seed: int = Field(0, ge=0, description="decides initial weights, dropout and the order of documents")
    threads: int | None = Field(None, ge=1, description="changes speed, not results; the number of cores if left out")

    @model_validator(mode="after")
    def _check_char_ngrams(self) -> BagConfig:
        if self.char_ngrams and self.units != "words":
            raise ValueError("char_ngrams needs units = 'words'")
        if self.char_ngrams and not (len(self.char_ngrams) == 2 and 1 <= self.char_ngrams[0] <= self.char_ngrams[1]):
            raise ValueError(f"char_ngrams must be [shortest, longest], as [3, 5], got {self.char_ngrams}")
        return self


__all__ = ["BagConfig"]
