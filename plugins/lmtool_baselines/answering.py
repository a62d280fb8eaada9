"""What all baselines share: they answer with a part of the document's text, and keep the tokenizer of targets for it.

MODEL/
  baseline.json     format version, sizes of the vocabularies, and what was estimated
  tokenizer/        that of targets
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmtool.api import Hypothesis
from lmtool.data.targets import without_targets
from lmtool.data.tokenizer_folder import FOLDER, open_target_tokenizer, open_tokenizer, save_tokenizer
from lmtool.facts import read_facts, write_facts
from lmtool.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lmtool.api import Document, Tokenizer
    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Found
    from lmtool.settings import DecodingConfig

FACTS = "baseline.json"


class Answer(NamedTuple):
    """A part of a document's text, and how good it seems."""

    text: str
    score: float = 0.0


class Baseline:
    """Fits a baseline; see `lmtool.api.FittedTextModel`."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def estimated(self, texts: Iterator[str]) -> dict[str, Any]:
        """What is to be known of training documents: JSON values."""
        return {}

    def answers(self, text: str, known: dict[str, Any]) -> list[Answer]:
        """To a document, at least one, the best first.

        Args:
            text: Of the document.
            known: What `estimated` gave.
        """
        raise NotImplementedError

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> TextAnswerer:
        """Raises DataError if the dataset has no targets."""
        split, registry = dataset.split("train"), Registry()
        if not split.has_targets:
            raise without_targets(dataset.path)
        progress("reading", 0.0)
        known = self.estimated(document.text for document in split.documents())
        tokenizer = open_target_tokenizer(dataset.path, registry) or open_tokenizer(dataset.path, registry)
        return TextAnswerer(self, *tokenizer, dataset.vocab_size, known)

    def load(self, folder: Path) -> TextAnswerer:
        """Raises DataError if it is damaged."""
        vocab_size, known = read_facts(Path(folder) / FACTS, _parse)
        return TextAnswerer(self, *open_tokenizer(Path(folder), Registry()), vocab_size, known)


class TextAnswerer:
    """A fitted baseline; see `lmtool.api.Answerer`. Nothing in it ever changes.

    Args:
        baseline: Makes the answers.
        tokenizer: Of targets.
        found: The component of the tokenizer.
        vocab_size: Of the ids of documents.
        known: What was estimated.
    """

    def __init__(
        self, baseline: Baseline, tokenizer: Tokenizer, found: Found, vocab_size: int, known: dict[str, Any]
    ) -> None:
        self.baseline, self.tokenizer, self.vocab_size, self.known = baseline, tokenizer, vocab_size, known
        self.target_vocab_size = tokenizer.vocab_size
        self._found = found

    def generate(
        self,
        documents: Sequence[Document],
        decoding: DecodingConfig,
        *,
        prefixes: Sequence[Stream] | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Hypothesis]]:
        """See `lmtool.api.Answerer`. Of `decoding`, `n_best` and `max_length` count: nothing is searched or drawn."""
        found = []
        for number, document in enumerate(documents):
            begin = None if prefixes is None else prefixes[number]
            answers = self.baseline.answers(document.text, self.known)[: decoding.n_best]
            found.append([self._hypothesis(answer, begin, decoding.max_length) for answer in answers])
        return found

    def _hypothesis(self, answer: Answer, begin: Stream | None, max_length: int | None) -> Hypothesis:
        text = answer.text.replace("\n", " ")
        ids = np.array(self.tokenizer.encode(text), np.int32)
        if begin is not None and len(begin):
            ids, text = np.concatenate([begin, ids]), f"{self.tokenizer.decode(begin.tolist())} {text}"
        if max_length is not None and len(ids) > max_length:
            ids = ids[:max_length]
            text = self.tokenizer.decode(ids.tolist())
        return Hypothesis(ids, 0.0, answer.score, text=text)

    def save(self, folder: Path) -> None:
        """Write `baseline.json` and the tokenizer."""
        write_facts(folder / FACTS, {"vocab_size": self.vocab_size, "known": self.known})
        save_tokenizer(self.tokenizer, self._found, folder / FOLDER)


def _parse(facts: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return int(facts["vocab_size"]), dict(facts["known"])


__all__ = ["Answer", "Baseline", "TextAnswerer"]
