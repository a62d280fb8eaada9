"""Hypotheses as text: one line each, with words of the document in the place of unknown ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmtool.data.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmtool.api import Document, Hypothesis, Tokenizer

_CUTS: tuple[Callable[[str], list[str]], ...] = (str.split, re.compile(r"[\w']+|[^\w\s]").findall, list)
"""How tokenizers with unknown tokens cut a line: at spaces, at punctuation, too, or into characters."""


@dataclass(frozen=True)
class AnswerText:
    """What hypotheses say.

    Args:
        tokenizer: Of documents.
        target_tokenizer: Of answers.
        replace_unknown: Whether an unknown token becomes what the document has where the token attends to most.

    References:
        Luong et al., "Addressing the rare word problem in neural machine translation", 2015.
    """

    tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    replace_unknown: bool = False

    def __call__(self, hypothesis: Hypothesis, document: Document) -> str:
        """A line, without its end."""
        if hypothesis.text is not None:
            return one_line(hypothesis.text)
        ids, unk_id = hypothesis.ids.tolist(), self.target_tokenizer.unk_id
        if not self.replace_unknown or hypothesis.sources is None or unk_id is None or unk_id not in ids:
            return one_line(self.target_tokenizer.decode(ids))
        sources = hypothesis.sources.tolist()
        words = (self._word(document, source) for id, source in zip(ids, sources, strict=True) if id == unk_id)
        return one_line(self._filled(ids, unk_id, words))

    def _filled(self, ids: list[int], unk_id: int, words: Iterator[str]) -> str:
        """The text of ids with words in the places of the unknown ones."""
        text, unknown = self.target_tokenizer.decode(ids), self.target_tokenizer.decode([unk_id]).strip()
        if not unknown or text.count(unknown) != ids.count(unk_id):
            return text  # unknown tokens leave no trace in it, or something else looks like one
        parts = text.split(unknown)
        return "".join([parts[0], *(f"{word or unknown}{part}" for word, part in zip(words, parts[1:], strict=True))])

    def _word(self, document: Document, number: int) -> str:
        """What the document has at one of its ids; empty if that is a line's end, or nobody can tell."""
        id = int(document.ids[number])
        if id == self.tokenizer.eos_id:
            return ""
        if id != self.tokenizer.unk_id:
            return self.tokenizer.decode([id]).strip()
        before = document.ids[:number] == self.tokenizer.eos_id
        line = document.text.split("\n")[int(before.sum())]
        start = int(before.nonzero()[0][-1]) + 1 if before.any() else 0
        return self._unknown(line, document.ids[start:].tolist(), number - start)

    def _unknown(self, line: str, ids: list[int], number: int) -> str:
        size = ids.index(self.tokenizer.eos_id)
        for cut in _CUTS:
            pieces = cut(line)
            if len(pieces) == size and self.tokenizer.encode(pieces[number]) == [self.tokenizer.unk_id]:
                return pieces[number]
        return ""


__all__ = ["AnswerText"]
