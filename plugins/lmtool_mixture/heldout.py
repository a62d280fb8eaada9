"""What each part of a mixture gives to held-out text, kept in a file while weights are tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.errors import DataError
from lmtool.evaluation import checked, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmtool.data.dataset import Dataset, Split
    from lmtool_mixture.ensemble import Ensemble

WINDOW = 256
"""Time steps that the parts read at once."""


def held_out(dataset: Dataset) -> Split:
    """The `valid` split: weights that were tuned on the training text would trust whoever knows it by heart.

    Raises:
        DataError: if there is none, or it is empty.
    """
    if "valid" not in dataset.split_names or not dataset.split("valid").num_tokens:
        hint = "`lmtool tokenize --valid FILE …` adds one, or `--set model.weights=[…]` gives the weights"
        raise DataError(f"{dataset.path} has no valid split to tune the weights of a mixture on", hint)
    return dataset.split("valid")


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
    table = np.lib.format.open_memmap(scratch / "valid.npy", mode="w+", dtype=np.float64, shape=shape)
    streams = cut(split, dataset.eos_id, batch_size)
    state, done = ensemble.initial_state(len(streams)), 0
    for ids, is_text in windows(split, streams, dataset.eos_id):
        log_probs, state = ensemble.score(ids, state)
        read = checked(log_probs[:, is_text])
        table[:, done : done + read.shape[1]] = read
        done += read.shape[1]
        progress(done / split.num_tokens)
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
