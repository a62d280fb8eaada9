"""The documents of `classify.py`, as lmtool batches them, in a file for its peers. Reading needs numpy alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np  # noqa: TID253 - part of programs of their own

CHUNK = 1024
"""Documents that `lmtool eval` gives a classifier at once."""


class Padded(NamedTuple):
    """Documents of a batch; padding comes last."""

    inputs: np.ndarray
    """int32 [B, T]."""
    lengths: np.ndarray
    """int64 [B]."""
    targets: np.ndarray
    """int64 [B]."""

    def documents(self) -> list[np.ndarray]:
        return [ids[:length] for ids, length in zip(self.inputs, self.lengths, strict=True)]


class Turns:
    """Batches from a file, turn after turn: the first turn has the first ones, for warming up; the second one begins
    where lmtool's does."""

    def __init__(self, file: Path, first: int) -> None:
        with np.load(file) as arrays:
            self._batches = [
                Padded(*(arrays[f"{name}_{number}"] for name in Padded._fields))
                for number in range(len(arrays.files) // len(Padded._fields))
            ]
        self._first, self._next = first, 0

    def take(self, count: int) -> list[Padded]:
        taken = [self._batches[(self._next + number) % len(self._batches)] for number in range(count)]
        self._next = max(self._first, self._next + count)
        return taken


def write(file: Path, batches: Iterable[Padded]) -> None:
    arrays = {f"{name}_{i}": one for i, batch in enumerate(batches) for name, one in batch._asdict().items()}
    np.savez(file, **arrays)


def training_batches(task: Any, steps: int) -> Iterator[Padded]:
    """Those of the first steps of a `classify` task, without rows that hold no document."""
    for step in range(steps):
        batch = task.batch(step)
        real = batch["weights"] > 0
        yield Padded(batch["inputs"][real], batch["mask"][real].sum(axis=1), batch["targets"][real].astype(np.int64))


def sorted_batches(split: Any, cutter: Any, size: int) -> Iterator[Padded]:
    """All documents in chunks, and those of a chunk by length, `size` at a time, padded to the longest of these."""
    documents, labels = split.documents(), split.label_ids
    done = 0
    while chunk := [cutter.windows(one.ids)[0] for one in islice(documents, CHUNK)]:
        order = sorted(range(len(chunk)), key=lambda number: len(chunk[number]))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield padded([chunk[row] for row in rows], labels[done + np.array(rows)], cutter.eos_id)
        done += len(chunk)


def padded(documents: list[np.ndarray], targets: np.ndarray, filler: int, width: int = 0) -> Padded:
    """Documents to the width of the longest, or to a given one."""
    lengths = np.array([len(ids) for ids in documents], np.int64)
    inputs = np.full((len(documents), width or int(lengths.max())), filler, np.int32)
    for row, ids in enumerate(documents):
        inputs[row, : len(ids)] = ids
    return Padded(inputs, lengths, targets)
