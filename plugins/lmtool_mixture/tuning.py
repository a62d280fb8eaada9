"""Tuning a linear mixture on held-out text: each part reads it once, then weights and caches are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool import em
from lmtool.errors import DataError
from lmtool.evaluation import checked, cut
from lmtool.files import explain_os_errors, reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lmtool.data.dataset import Dataset, Split
    from lmtool_mixture.ensemble import Ensemble
    from lmtool_mixture.parts import CacheSettings, Parts

WINDOW = 256
"""Time steps that the parts read at once."""
READING = 0.9
"""The share of the work that reading is."""
ROUGH = 1e-5
"""Nats per token; near enough to tell which caches are best."""


@dataclass(frozen=True)
class Plan:
    """What is to be tuned."""

    runs: Parts
    """Without caches."""
    caches: Sequence[Sequence[CacheSettings]]
    """For each cache the settings to choose from."""
    weights: Sequence[float]
    """None if they are to be tuned, too."""
    batch_size: int


def held_out(dataset: Dataset) -> Split:
    """The `valid` split: weights that were tuned on the training text would trust whoever knows it by heart.

    Raises:
        DataError: if there is none, or it is empty.
    """
    if "valid" not in dataset.split_names or not dataset.split("valid").num_tokens:
        hint = "`lmtool tokenize --valid FILE …` adds one, or `--set model.weights=[…]` gives the weights"
        raise DataError(f"{dataset.path} has no valid split to tune the weights of a mixture on", hint)
    return dataset.split("valid")


def tune(
    plan: Plan, dataset: Dataset, scratch: Path, progress: Callable[[str, float], None]
) -> tuple[Parts, Sequence[float]]:
    """The mixture that gives the `valid` split the highest likelihood; every combination of caches is tried.

    Takes 8 bytes a token of the split in memory for each part, and in `scratch` for each part and choice.
    """
    every = plan.runs.with_caches([cache for choices in plan.caches for cache in choices])
    table = part_log_probs(
        every.ensemble, dataset, plan.batch_size, scratch, lambda fraction: progress("reading", READING * fraction)
    )
    places = iter(range(len(plan.runs.runs), len(table)))
    numbered = [[(next(places), cache) for cache in choices] for choices in plan.caches]
    combinations = list(product(*numbered))
    rows = [[*range(len(plan.runs.runs)), *(place for place, _ in one)] for one in combinations]
    sayable = _sayable(table[: len(plan.runs.runs)])
    likelihoods = []
    for number in range(len(combinations)):
        likelihoods.append(_weigh(table[np.ix_(rows[number], sayable)], plan.weights, tolerance=ROUGH)[1])
        progress("tuning weights", READING + (1 - READING) * (number + 1) / len(combinations))
    best = int(np.argmax(likelihoods))
    weights, _ = _weigh(table[rows[best]], plan.weights, tolerance=em.TOLERANCE)
    return plan.runs.with_caches([cache for _, cache in combinations[best]]), weights


def _sayable(log_probs: np.ndarray) -> np.ndarray:
    """The tokens that some run gives a probability; all if there are none. A single other one would make all choices
    of caches equally impossible."""
    sayable = np.flatnonzero((log_probs > -np.inf).any(axis=0))
    return sayable if len(sayable) else np.arange(log_probs.shape[1])


def _weigh(log_probs: np.ndarray, given: Sequence[float], *, tolerance: float) -> tuple[Sequence[float], float]:
    """Weights, and the mean log-likelihood that they give."""
    if given:
        return given, em.step(log_probs, np.asarray(given))[0]
    tuned = em.tune(log_probs, tolerance=tolerance)
    return list(map(float, tuned.weights)), tuned.log_likelihood


# Reading --------------------------------------------------------------------------------------------------------------


def part_log_probs(
    ensemble: Ensemble, dataset: Dataset, batch_size: int, scratch: Path, progress: Callable[[float], None]
) -> np.ndarray:
    """float64 [P, N], nats, for the tokens of the `valid` split in the order of reading; memory-mapped.

    Args:
        ensemble: Starts each of `batch_size` pieces from a fresh state.
        dataset: Has a `valid` split.
        batch_size: B.
        scratch: A folder for the file.
        progress: Called with the fraction that is done.
    """
    split = held_out(dataset)
    shape = ensemble.size, split.num_tokens
    table = mapped(scratch / "valid.npy", np.float64, shape)
    streams = cut(split, dataset.eos_id, batch_size)
    state, done = ensemble.initial_state(len(streams)), 0
    for ids, is_text in windows(split, streams, dataset.eos_id):
        log_probs, state = ensemble.score(ids, state)
        read = checked(log_probs[:, is_text])
        table[:, done : done + read.shape[1]] = read
        done += read.shape[1]
        progress(done / split.num_tokens)
    return table


def mapped(file: Path, dtype: type[np.floating[Any]], shape: tuple[int, ...]) -> np.ndarray:
    """A new file as an array to write into. Raises DataError if the disk is too full for it."""
    with explain_os_errors(file):
        table = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        reserve(file)
    return table


def windows(
    split: Split, streams: list[tuple[int, int]], eos_id: int, length: int = WINDOW
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids [B, T] of all streams side by side, and where they are text, bool [B, T]: shorter streams are padded."""
    for offset in range(0, max(stop - start for start, stop in streams), length):
        ids = np.full((len(streams), length), eos_id, np.int32)
        is_text = np.zeros(ids.shape, bool)
        for row, (start, stop) in enumerate(streams):
            piece = split.read(min(start + offset, stop), min(start + offset + length, stop))
            ids[row, : len(piece)] = piece
            is_text[row, : len(piece)] = True
        yield ids, is_text
