"""From a text to a model on disk, order by order, in bounded memory.

    count      the distinct n-grams of every order                              counting, windows
    link       each n-gram to itself without its first word                     suffixes
    smooth     counts to probabilities, from the unigrams up                    smoother, smoothing

Between the steps everything lies in files of the folder, which are read piece by piece. What must be looked up at
random is held in memory for as large a range as the setting `memory` allows, and the files are read once a range.
Pruning by entropy comes last, on the finished tables; it holds them, whatever the setting.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.encoding import available_cores
from lmtool.errors import DataError
from lmtool_ngram.config import bytes_of
from lmtool_ngram.estimation.counting import Counts, count_ngrams
from lmtool_ngram.estimation.lmplz import lmplz_corrections
from lmtool_ngram.estimation.pruning import prune_by_entropy
from lmtool_ngram.estimation.smoother import Smoother, Tables
from lmtool_ngram.estimation.smoothing import make_smoothing
from lmtool_ngram.estimation.suffixes import link
from lmtool_ngram.estimation.text import TrainingText
from lmtool_ngram.estimation.threads import Workers
from lmtool_ngram.spool import Scratch, Spool
from lmtool_ngram.tables import storage
from lmtool_ngram.tables.quantize import quantize_saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool_ngram.config import NgramConfig
    from lmtool_ngram.tables.trie import Level

logger = logging.getLogger("lmtool.ngram")

MOST_THREADS = 8
"""More wait for memory."""
LONGEST = 1 << 32
"""Words of a text: places are 32-bit numbers."""


def estimate_levels(
    ids: np.ndarray, config: NgramConfig, vocab_size: int, eos_id: int, unk_id: int | None = None
) -> tuple[list[Level], dict[str, Any]]:
    """The tables of a small text, and the settings that go with them; nothing is left on disk.

    Args:
        ids: int [N], each line ended by `eos_id`.
        config: How.
        vocab_size: V.
        eos_id: Ends each line.
        unk_id: The unknown word, if there is one.
    """
    text = TrainingText(
        lambda start, stop: ids[start:stop],
        len(ids),
        eos_id=eos_id,
        vocab_size=vocab_size,
        unk_id=unk_id,
        unknown=config.unknown,
    )
    with tempfile.TemporaryDirectory() as folder:
        estimate(text, config, Path(folder))
        levels, record = storage.load(Path(folder))  # a mapped file goes on existing when its name is gone
        return levels, storage.settings_of(record)


def estimate(
    text: TrainingText,
    config: NgramConfig,
    folder: Path,
    *,
    progress: Callable[[str, float], None] = lambda phase, fraction: None,
) -> None:
    """Write a model of a text.

    Args:
        text: Of at least one word.
        config: How.
        folder: Exists and is empty.
        progress: Told a phase and the fraction of the whole that is done.

    Raises:
        DataError: if the text is too long, or the disk too small.
    """
    if len(text) >= LONGEST:
        raise DataError(f"the text has {len(text):,} words; an n-gram model takes fewer than {LONGEST:,}")
    if config.prune_entropy:
        _estimate_and_prune(text, config, folder, progress)
    else:
        _count_and_smooth(text, config, folder, progress)
    if config.quantize:
        quantize_saved(folder, config.quantize)


def _estimate_and_prune(
    text: TrainingText, config: NgramConfig, folder: Path, progress: Callable[[str, float], None]
) -> None:
    whole = folder / "whole"
    whole.mkdir()
    try:
        _count_and_smooth(text, config, whole, progress)
        levels, record = storage.load(whole)
        settings = {**storage.settings_of(record), "prune_entropy": config.prune_entropy}
        log_marginals = [np.load(whole / f"log_marginals-{n}.npy", mmap_mode="r") for n in range(1, config.order)]
        storage.save(folder, prune_by_entropy(levels, config.prune_entropy, log_marginals), settings)
    finally:
        shutil.rmtree(whole)


def _count_and_smooth(
    text: TrainingText, config: NgramConfig, folder: Path, progress: Callable[[str, float], None]
) -> None:
    progress("counting", 0.0)
    memory, thresholds = bytes_of(config.memory), _thresholds(config)
    method = make_smoothing(config, text.vocab_size)
    parameters = []
    with (
        Scratch(folder / "counting") as scratch,
        contextlib.closing(Tables(folder, text.vocab_size)) as tables,
        Workers(min(MOST_THREADS, available_cores())) as workers,  # end first: none may work on closed files
    ):
        limits: dict[str, Any] = {"memory": memory, "workers": workers}
        counted = lambda fraction: progress("counting", 0.4 * fraction)  # noqa: E731
        levels = count_ngrams(text, config.order, scratch, **limits, progress=counted)
        limits["memory"] //= 2  # the other half is for what the threads hold
        linked = link(levels, scratch, continuations=method.uses_continuations, **limits)
        progress("linking", 0.6)
        corrections = _corrections(text, config)
        smoother = Smoother(method, linked, tables, thresholds, scratch, **limits)
        for n in range(1, config.order + 1):
            parameters.append(smoother.smooth(n, text.vocab_size, *corrections[n - 1 : n]))
            progress(f"order {n}", 0.6 + 0.4 * n / config.order)
        if config.prune_entropy:
            _write_log_marginals(levels[:-1], thresholds, int(text.word_counts.sum()), folder)
    storage.write_record(folder, _settings(text, config, parameters), tables.described())


def _write_log_marginals(levels: list[Counts], thresholds: list[int], total: int, folder: Path) -> None:
    """How often each n-gram that is kept is a context, in nats; a line starts as often as one ends."""
    for n, (level, threshold) in enumerate(zip(levels, thresholds, strict=False), start=1):
        with Spool(folder / f"log_marginals-{n}.npy", np.float32) as spool:
            for _, counts in level.counts.pieces():
                kept = np.maximum(counts, 1) if n == 1 else counts[counts > threshold]
                spool.append(np.log(kept / total))


def _thresholds(config: NgramConfig) -> list[int]:
    """For each order the count up to which n-grams are pruned; the last that is given goes on."""
    given = list(config.prune) or [0]
    return [given[min(n, len(given) - 1)] for n in range(config.order)]


def _settings(text: TrainingText, config: NgramConfig, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """What `ngram.json` says of the model."""
    settings: dict[str, Any] = {
        "order": config.order,
        "vocab_size": text.vocab_size,
        "eos_id": text.eos_id,
        "smoothing": config.smoothing,
        "unknown": config.unknown,
        "prune": list(config.prune),
    }
    if config.smoothing == "add-k":
        settings["add_k"] = config.add_k
    if fallbacks := [str(n) for n, one in enumerate(parameters, start=1) if one.get("is_fallback")]:
        used = ", ".join(f"{discount:g}" for discount in parameters[int(fallbacks[0]) - 1]["discounts"])
        logger.warning(
            "discounts of order %s cannot be estimated from so small or regular a text; %s are used instead",
            ", ".join(fallbacks),
            used,
        )
    if any("discounts" in one for one in parameters):
        settings["discounts"] = [one["discounts"] for one in parameters]
    return settings


def _corrections(text: TrainingText, config: NgramConfig) -> list[tuple[int, int]]:
    if config.smoothing != "modified-kneser-ney" or config.unknown == "mass":
        return []
    return list(lmplz_corrections(text, config.order))
