"""Settings of the evaluators."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from lmtool.config import Config


class PerplexityConfig(Config):
    """Perplexity, by one definition for every model: total nats over the same text.

    A word is a whitespace-separated unit of the text. Each line ends in one end-of-line, which is predicted and counts
    as one token, one word and one byte.

    token_perplexity  exp(nats / tokens)
    word_perplexity   exp(nats / (words + lines)): can be compared across tokenizers
    bits_per_byte     nats / (ln 2 * bytes): can be compared across tokenizers
    …_without_oov     positions of unknown tokens left out of both sums
    oov_rate          unknown tokens / (tokens - lines)
    nats              total of the text

    Where the text holds unknown tokens the per-word and per-byte figures are lower bounds: the model gives `<unk>` to a
    class of words, not to the word that stands there.
    """


class ClassificationConfig(Config):
    """Accuracy, precision, recall and F1, as scikit-learn defines them, with `zero_division = 0`.

    Documents with one class: `accuracy`; `precision_macro`, `recall_macro`, `f1_macro` and the same `_micro` and
    `_weighted`. A class that is neither the true nor the predicted one of any document is left out of the means.

    Documents with any number of labels: `subset_accuracy` (all labels of a document are right), and the four averages
    `_macro`, `_micro`, `_weighted` and `_samples`, over all labels.

    Standard errors: of accuracies, that of a mean; of the rest, the spread over texts whose documents were drawn from
    these, with replacement (bootstrap).
    """

    bootstrap: int = Field(1000, ge=0, description="texts that are drawn for the standard errors; 0 leaves them out")
    seed: int = Field(0, ge=0, description="decides the draws")


class ConfusionConfig(Config):
    """The confusion matrix, in the details of a result: rows are true classes, columns what was predicted.

    Where a document may have any number of labels, a matrix a label: [[true negatives, false positives], [false
    negatives, true positives]].
    """


class TopKConfig(Config):
    """How often the true class is among the k likeliest: `top_3_accuracy`.

    Where a document may have any number of labels, how many of its k likeliest are true, in the mean:
    `precision_at_3`. A k that is not below the number of classes is left out.
    """

    k: list[int] = Field([3, 5], min_length=1, description="how many classes are looked at, each at least 1")

    @field_validator("k")
    @classmethod
    def _check_k(cls, value: list[int]) -> list[int]:
        if min(value) < 1:
            raise ValueError(f"each must be at least 1, and {min(value)} is not")
        return value


class AreaUnderCurveConfig(Config):
    """How well each class's probability parts its documents from the others, whatever the threshold.

    roc_auc_macro, roc_auc_weighted                      area under the ROC curve, one against the rest
    average_precision_macro, average_precision_weighted  mean precision at each true document (PR-AUC)

    Weighted: by how many documents each class has. A class that no document has, or all, is left out. The scores of all
    documents are kept in memory.
    """


class LogLossConfig(Config):
    """`log_loss`: mean of -ln of the probability that was given to each document's class, in nats.

    Where a document may have any number of labels, the mean over documents of the sum over labels of the binary
    cross-entropy: nats per document, as in training and validation.
    """


class CalibrationConfig(Config):
    """Whether probabilities mean what they say.

    ece           expected calibration error: |accuracy - confidence|, mean over bins of equal width
    adaptive_ece  the same over bins with equally many documents; those with the same confidence stay together
    brier         mean of the squared error of all probabilities of a document, 0 to 2 (with two classes twice what some
                  call by that name)

    The confidence is the probability of the predicted class. Where a document may have any number of labels, all three
    are about the probability of each label, whether it is predicted or not, and `brier` is a mean over labels, 0 to 1.
    """

    bins: int = Field(15, ge=1, description="of confidence, from 0 to 1")


class BleuConfig(Config):
    """`bleu`, 0 to 100, of whole texts against one or more references each, exactly as sacrebleu computes it.

    An n-gram counts as often as the reference that has it most often; a text is short beside the reference whose length
    is nearest. Texts may have different numbers of references.
    """

    tokenize: Literal["13a", "intl", "zh", "char", "none"] = Field(
        "13a", description="how sacrebleu cuts texts into words: as WMT does, by Unicode, Chinese characters alone, …"
    )
    lowercase: bool = Field(False, description="take no notice of case")
    max_order: int = Field(4, ge=1, description="words of the longest n-grams")
    smooth_method: Literal["exp", "floor", "add-k", "none"] = Field(
        "exp", description="what orders without any match count for"
    )
    smooth_value: float | None = Field(None, gt=0, description="of `floor` (0.1 if left out) and `add-k` (1)")

    @model_validator(mode="after")
    def _check_value(self) -> BleuConfig:
        if self.smooth_value is not None and self.smooth_method not in ("floor", "add-k"):
            raise ValueError(f"smooth_value has no use with smooth_method = '{self.smooth_method}'")
        return self


class ChrfConfig(Config):
    """`chrf`, 0 to 100: F-score of character n-grams, exactly as sacrebleu computes it.

    Of several references the one with the best score of its own counts. `word_order = 2` is known as chrF++.
    """

    char_order: int = Field(6, ge=1, description="characters of the longest n-grams; white space is none")
    word_order: int = Field(0, ge=0, description="words of the longest n-grams of words; 0 for none")
    beta: int = Field(2, ge=1, description="how many times more recall counts than precision")
    lowercase: bool = Field(False, description="take no notice of case")


class RougeConfig(Config):
    """`rouge_l`, `rouge_1`, `rouge_2`, 0 to 100: mean F-scores of the longest common subsequence, of words and of pairs
    of words, exactly as rouge-score computes them.

    Of several references the one with the best F-score counts, for each of the three.
    """

    tokenize: Literal["rouge", "unicode"] = Field(
        "rouge",
        description="what words are: runs of a to z and digits alone, as in ROUGE-1.5.5; or of letters and digits of "
        "any script, Chinese characters and kana one by one",
    )
    stemmer: bool = Field(False, description="compare English words by their stems (Porter)")
    precision_recall: bool = Field(False, description="give `rouge_l_precision`, `rouge_l_recall` and the like, too")

    @model_validator(mode="after")
    def _check_stemmer(self) -> RougeConfig:
        if self.stemmer and self.tokenize != "rouge":
            raise ValueError(f"stemmer has no use with tokenize = '{self.tokenize}'")
        return self


class AnswersConfig(Config):
    """`f1` and `exact_match` of short answers, 0 to 100, each by the best of the references.

    squad  as SQuAD v1.1's script: case, punctuation and the articles a, an, the do not count; F1 over words
    cmrc   as CMRC 2018's script: F1 over the longest run of Chinese characters and other words that both have. Words of
           other scripts are runs of letters and digits, where the script asks NLTK
    """

    normalize: Literal["squad", "cmrc"] = Field("squad", description="what is compared")


class DistinctConfig(Config):
    """`distinct_2`, `distinct_1`, 0 to 100: distinct n-grams of a text over all of its n-grams, mean over texts.

    It needs no references. A text without any n-gram has 0.
    """

    order: int = Field(2, ge=1, le=10, description="n of the longest n-grams, by which a single text is judged")
    tokenize: Literal["words", "chars"] = Field(
        "words", description="what n-grams are made of: words between white space, or characters other than white space"
    )


__all__ = [
    "AnswersConfig",
    "AreaUnderCurveConfig",
    "BleuConfig",
    "CalibrationConfig",
    "ChrfConfig",
    "ClassificationConfig",
    "ConfusionConfig",
    "DistinctConfig",
    "LogLossConfig",
    "PerplexityConfig",
    "RougeConfig",
    "TopKConfig",
]
