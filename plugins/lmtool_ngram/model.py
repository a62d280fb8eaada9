"""The n-gram model: estimating it from a data set, and the estimated model in use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lmtool.errors import DataError
from lmtool_ngram import scoring, storage
from lmtool_ngram.counting import count_ngrams
from lmtool_ngram.discounts import FALLBACK, lmplz_corrections
from lmtool_ngram.kneser_ney import Estimates, estimate
from lmtool_ngram.trie import Level, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lmtool.api import Tokenizer
    from lmtool.data.dataset import Dataset
    from lmtool_ngram.config import NgramConfig

logger = logging.getLogger("lmtool.ngram")


class Ngram:
    """Estimates n-gram models; see `lmtool.api.FittedModel`."""

    def __init__(self, config: NgramConfig) -> None:
        self.config = config

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None]) -> NgramLanguageModel:
        """Count and smooth the training text. Raises DataError if it is empty."""
        split = dataset.split("train")
        ids = split.read(0, split.num_tokens)
        unk_id = dataset.tokenizer.unk_id
        if self.config.unknown == "skip" and unk_id is not None:
            ids = ids[ids != unk_id]
        if not len(ids):
            raise DataError(f"{dataset.path} has no text to train on", hint="`lmtool tokenize --train FILE …` adds it")
        tokenizer = dataset.tokenizer
        return fit_ids(ids, self.config.order, tokenizer.vocab_size, tokenizer.eos_id, progress=progress)

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
        """Write `.npy` files and `ngram.json`; see `lmtool_ngram.storage`."""
        storage.save(Path(folder), self.levels, self.settings)

    def export(self, format: str, file: IO[bytes], tokenizer: Tokenizer) -> None:
        """Write the ARPA format, the only one; see `lmtool_ngram.arpa`."""
        from lmtool_ngram import arpa

        arpa.write(file, self.levels, tokenizer)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._folder is not None:
            return load, (self._folder,)
        return NgramLanguageModel, (self.levels, self.settings)


def load(folder: Path) -> NgramLanguageModel:
    """Memory-map a saved model. Raises DataError if it is missing or damaged."""
    folder = Path(folder).absolute()
    levels, record = storage.load(folder)
    settings = {key: value for key, value in record.items() if key not in ("format", "version", "arrays")}
    return NgramLanguageModel(levels, settings, folder)


def fit_ids(
    ids: np.ndarray,
    order: int,
    vocab_size: int,
    eos_id: int,
    *,
    progress: Callable[[str, float], None] = lambda phase, fraction: None,
) -> NgramLanguageModel:
    """A model of a stream of ids, int [N], N at least 1, each line ended by `eos_id`."""
    corrections = list(lmplz_corrections(np.concatenate([[eos_id], ids], dtype=np.int32), order, eos_id))
    counts = count_ngrams(ids, order, eos_id=eos_id, vocab_size=vocab_size)
    settings: dict[str, Any] = {
        "order": order,
        "vocab_size": vocab_size,
        "eos_id": eos_id,
        "smoothing": "modified-kneser-ney",
        "discounts": [],
    }
    estimates = estimate(counts, vocab_size=vocab_size, corrections=corrections)
    levels = list(pack(_watch(estimates, order, settings, progress), vocab_size))
    return NgramLanguageModel(levels, settings)


def _watch(
    estimates: Iterable[Estimates], order: int, settings: dict[str, Any], progress: Callable[[str, float], None]
) -> Iterator[Estimates]:
    """Hand the estimates on, noting discounts, reporting progress."""
    progress("counting", 0.0)
    fallbacks = []
    for n, one in enumerate(estimates, start=1):
        settings["discounts"].append(list(one.discounts))
        if one.is_fallback:
            fallbacks.append(str(n))
        progress(f"order {n}", n / order)
        yield one
        del one  # its arrays would live on while the next order is estimated
    if fallbacks:
        logger.warning(
            "discounts of order %s cannot be estimated from so small or regular a text; %s are used instead",
            ", ".join(fallbacks),
            "/".join(map(str, FALLBACK)),
        )
