"""Why a classifier says what it says of a document: how much each word speaks for the class that it finds likeliest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lmtool.incoming import as_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from lmtool.api import Classifier, Document, Tokenizer

MOST = 512
"""Variants of a document: of a longer one, several words in a row are left out together and share what that changes."""

IMPOSSIBLE = -1e9
"""Nats that stand for minus infinity, so that there are differences."""

# Kana and Chinese characters, which are written without spaces
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a document, and where it stands in the text."""

    text: str
    start: int
    stop: int


def words_of(text: str) -> list[Word]:
    """What stands between spaces; of scripts without spaces, each character.

    >>> [word.text for word in words_of("an iPhone 手机")]
    ['an', 'iPhone', '手', '机']
    """
    return [Word(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]


def by_occlusion(
    model: Classifier, tokenizer: Tokenizer, documents: Sequence[Document], classes: Sequence[int]
) -> Iterator[list[tuple[str, float]]]:
    """For each document, its words, and how much the log-probability of a class falls if the word is left out, in nats.

    Args:
        model: Any classifier: each variant is predicted as a document of its own.
        tokenizer: Of the model.
        documents: To be explained.
        classes: Of each document, the class that is asked about.

    References:
        Li, Monroe & Jurafsky, "Understanding neural networks through representation erasure", 2016.
    """
    for document, number in zip(documents, classes, strict=True):
        words = words_of(document.text)
        size = -(-len(words) // MOST) or 1
        groups = [words[start : start + size] for start in range(0, len(words), size)]
        variants = [_without(document.text, group[0].start, group[-1].stop) for group in groups]
        found = model.log_probs([document, *as_documents(tokenizer, variants)])[:, number]
        found = found.clip(min=IMPOSSIBLE)
        falls = (found[0] - found[1:]).tolist()
        yield [(word.text, fall / len(group)) for group, fall in zip(groups, falls, strict=True) for word in group]


def _without(text: str, start: int, stop: int) -> str:
    """The text without a part of it, and without the space that would then be one too many."""
    before, after = text[:start], text[stop:]
    if after.startswith(" "):
        return before + after[1:]
    return before.removesuffix(" ") + after


@runtime_checkable
class Attributing(Protocol):
    """A classifier that tells by gradients how much each id matters; a network's."""

    def attribute(self, documents: Sequence[Document]) -> list[np.ndarray]:
        """float [N] of each document, for the ids that are read of it."""
        ...


def by_gradient(
    model: Attributing, tokenizer: Tokenizer, documents: Sequence[Document]
) -> Iterator[list[tuple[str, float]] | None]:
    """For each document, its tokens, and how much each speaks for the likeliest class: gradient times input, in nats.

    None for a document that is not read as a whole.
    """
    for document, weights in zip(documents, model.attribute(documents), strict=True):
        if len(weights) != len(document.ids):
            yield None
            continue
        tokens = tokenizer.tokens(document.ids.tolist())
        yield list(zip(tokens, weights.tolist(), strict=True))


__all__ = ["Attributing", "Word", "by_gradient", "by_occlusion", "words_of"]
