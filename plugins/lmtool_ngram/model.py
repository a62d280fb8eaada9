"""The n-gram model: estimating it from a data set, and the estimated model in use."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lmtool.errors import DataError
from lmtool_ngram.config import NgramConfig
from lmtool_ngram.estimation.engine import estimate, estimate_levels
from lmtool_ngram.estimation.text import TrainingText
from lmtool_ngram.tables import scoring, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmtool.api import Tokenizer
    from lmtool.data.dataset import Dataset
    from lmtool_ngram.tables.trie import Level


class Ngram:
    """Estimates n-gram models; see `lmtool.api.FittedModel`."""

    def __init__(self, config: NgramConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None], scratch: Path) -> NgramLanguageModel:
        """Count and smooth the training text. Raises DataError if it is empty."""
        split, tokenizer = dataset.split("train"), dataset.tokenizer
        text = TrainingText(
            split.read,
            split.num_tokens,
            eos_id=tokenizer.eos_id,
            vocab_size=tokenizer.vocab_size,
            unk_id=tokenizer.unk_id,
            unknown=self.config.unknown,
        )
        if not len(text):
            raise DataError(f"{dataset.path} has no text to train on", hint="`lmtool tokenize --train FILE …` adds it")
        estimate(text, self.config, scratch, progress=progress)
        return load(scratch)

    def load(self, folder: Path) -> NgramLanguageModel:
        """Memory-mapped. Raises DataError if it is damaged."""
        return load(folder)


class NgramLanguageModel:
    """An estimated n-gram model; see `lmtool.api.LanguageModel`. Each line starts anew.

    A state is int32 [B, order-1], the last words of the current line; `scoring.NOTHING` fills the front. The start of
    a line is `eos_id`. Nothing in here ever changes: threads may share it, and a copy sent to another process opens the
    same files again.
    """

    stateful = False
    export_formats = ("arpa",)

    def __init__(self, levels: Sequence[Level], settings: dict[str, Any], folder: Path | None = None) -> None:
        self.levels = tuple(levels)
        self.order = len(self.levels)
        self.vocab_size: int = settings["vocab_size"]
        self.eos_id: int = settings["eos_id"]
        self.settings = settings
        self._folder = folder

    def initial_state(self, batch_size: int) -> np.ndarray:
        state = np.full((batch_size, self.order - 1), scoring.NOTHING, dtype=np.int32)
        state[:, -1:] = self.eos_id
        return state

    def score(self, ids: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_probs, _, state = self.match(ids, state)
        return log_probs, state

    def match(self, ids: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `score`, with int8 [B, T] between: the order of the longest n-gram that was found for each token."""
        log_probs, matched = scoring.score(self.levels, np.asarray(ids), state)
        return log_probs, matched, scoring.next_context(ids, state, self.eos_id)

    def next_log_probs(self, state: np.ndarray) -> np.ndarray:
        return scoring.next_log_probs(self.levels, state)

    def save(self, folder: Path) -> None:
        """Write `.npy` files and `ngram.json`; see `lmtool_ngram.tables.storage`."""
        if self._folder is None or not storage.link(self._folder, Path(folder)):
            storage.save(Path(folder), self.levels, self.settings)

    def export(self, format: str, file: IO[bytes], tokenizer: Tokenizer) -> None:
        """Write the ARPA format, the only one; see `lmtool_ngram.arpa.writing`."""
        from lmtool_ngram.arpa import writing as arpa

        arpa.write(file, self.levels, tokenizer)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._folder is not None and storage.is_model(self._folder):
            return load, (self._folder,)
        return NgramLanguageModel, (self.levels, self.settings)


def load(folder: Path) -> NgramLanguageModel:
    """Memory-map a saved model. Raises DataError if it is missing or damaged."""
    folder = Path(folder).absolute()
    levels, record = storage.load(folder)
    return NgramLanguageModel(levels, storage.settings_of(record), folder)


def fit_ids(ids: np.ndarray, order: int, vocab_size: int, eos_id: int, **settings: Any) -> NgramLanguageModel:
    """A model of a short stream of ids, int [N], N at least 1, each line ended by `eos_id`."""
    config = NgramConfig(order=order, **settings)
    return NgramLanguageModel(*estimate_levels(ids, config, vocab_size, eos_id))
