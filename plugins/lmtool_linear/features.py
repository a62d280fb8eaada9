"""Documents to sparse vectors: n-grams of words and characters, counted and weighted by scikit-learn."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from lmtool.api import Document
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_linear.config import LinearConfig
    from lmtool_linear.weights import Vectors

# Kana, Han and their extensions: written without spaces, so that a run of them is no word.
_SINGLE = "\\u3040-\\u30ff\\u3400-\\u9fff\\uf900-\\ufaff\\U00020000-\\U0003ffff"
WORD = rf"[{_SINGLE}]|[^\W{_SINGLE}]+|[^\w\s]"
"""A word of a text: a character of a script without spaces, a run of letters and digits, or a single sign."""


class Features:
    """Vectors of length one; with two kinds of n-grams, each has half of the square of it.

    Args:
        config: What is counted.
        eos_id: Ends a line, so that no n-gram of tokens reaches over it.
    """

    def __init__(self, config: LinearConfig, eos_id: int) -> None:
        self.config, self.eos_id = config, eos_id
        self._blocks = self._make({})

    def fit(self, documents: Sequence[Document]) -> Vectors:
        """Learn n-grams and how rare they are; the documents' vectors.

        Raises:
            DataError: if no n-gram is in enough documents.
        """
        try:
            return self._union.fit_transform(documents)
        except ValueError as error:
            if "vocabulary" not in str(error) and "no terms" not in str(error):
                raise
            what = f"no n-gram is in {self.config.min_count} of the {len(documents):,} training documents"
            raise DataError(what, hint="`--set model.min_count=1`") from None

    def transform(self, documents: Sequence[Document]) -> Vectors:
        """The vectors of one or more documents. What is not known is left out."""
        return self._union.transform(documents)

    @cached_property
    def _union(self) -> FeatureUnion:
        scale = len(self._blocks) ** -0.5
        return FeatureUnion(list(self._blocks.items()), transformer_weights=dict.fromkeys(self._blocks, scale))

    @property
    def size(self) -> int:
        """F."""
        return sum(len(one.vocabulary_) for one in self._blocks.values())

    def terms(self) -> dict[str, list[str]]:
        """N-grams by their kind, in the order of the columns."""
        return {name: sorted(one.vocabulary_, key=one.vocabulary_.get) for name, one in self._blocks.items()}

    def idf(self) -> np.ndarray:
        """float32 [F]; ones where it has no use."""
        sizes = [len(one.vocabulary_) for one in self._blocks.values()]
        if not self.config.idf:
            return np.ones(sum(sizes), np.float32)
        return np.concatenate([np.asarray(one.idf_, np.float32) for one in self._blocks.values()])

    @classmethod
    def restore(cls, config: LinearConfig, eos_id: int, terms: dict[str, list[str]], idf: np.ndarray) -> Features:
        """What `terms` and `idf` were taken from.

        Raises:
            KeyError, ValueError: if they do not go together.
        """
        made, nothing = cls(config, eos_id), Document(np.zeros(0, np.int32), "")
        made._blocks = made._make(terms)
        ends = np.cumsum([len(terms[name]) for name in made._blocks])
        if idf.shape != (ends[-1],):
            raise ValueError(f"there are {ends[-1]} n-grams and {idf.shape} weights")
        for one, weights in zip(made._blocks.values(), np.split(idf, ends[:-1]), strict=True):
            if config.idf:
                one.idf_ = weights
            else:
                one.fit([nothing])  # learns nothing, as the vocabulary is given
        made.transform([nothing])  # checks the vocabulary once, so that threads find it done
        return made

    def _make(self, terms: dict[str, list[str]]) -> dict[str, TfidfVectorizer]:
        config, made = self.config, {}
        if config.words and config.unit == "word":
            read = {"preprocessor": _lower if config.lowercase else _text, "token_pattern": WORD}
            made["words"] = self._vectorizer(terms.get("words"), **read, ngram_range=(1, config.words))
        elif config.words:
            made["tokens"] = self._vectorizer(terms.get("tokens"), analyzer=self._tokens)
        if config.chars:
            read = {"preprocessor": _lower if config.lowercase else _text}
            read["analyzer"] = "char" if config.across_words else "char_wb"
            made["chars"] = self._vectorizer(terms.get("chars"), **read, ngram_range=tuple(config.chars))
        return made

    def _vectorizer(self, terms: list[str] | None, **settings: Any) -> TfidfVectorizer:
        config = self.config
        learned: dict[str, Any] = {"min_df": config.min_count, "max_features": config.max_features}
        known = {"vocabulary": {term: column for column, term in enumerate(terms or ())}}
        return TfidfVectorizer(
            **settings,
            **(learned if terms is None else known),
            sublinear_tf=config.tf == "log",
            binary=config.tf == "binary",
            use_idf=config.idf,
            dtype=np.float32,
        )

    def _tokens(self, document: Document) -> list[str]:
        """N-grams of ids, as `12 7`."""
        found: list[str] = []
        for line in np.split(document.ids, np.flatnonzero(document.ids == self.eos_id) + 1):
            ids = [str(one) for one in line.tolist() if one != self.eos_id]
            found += ids
            for n in range(2, self.config.words + 1):
                found += map(" ".join, zip(*(ids[i:] for i in range(n)), strict=False))
        return found


def _text(document: Document) -> str:
    return document.text


def _lower(document: Document) -> str:
    return document.text.lower()


__all__ = ["WORD", "Features"]
