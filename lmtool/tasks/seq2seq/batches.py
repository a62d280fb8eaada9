"""Pairs to training batches: like lengths together, each batch a pure function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lmtool.tasks.buckets import assign, choose_widths, epoch_plan

if TYPE_CHECKING:
    from lmtool.tasks.seq2seq.pairs import Pairs

MOST_TARGET_WIDTHS = 6
MOST_SOURCE_WIDTHS = 3
"""For each of the targets' widths: so many shapes are compiled, at most, as both together give."""


@dataclass(frozen=True)
class Rows:
    """How many pairs a batch has."""

    batch_size: int
    batch_tokens: int | None
    """Target positions, in the place of `batch_size` pairs."""
    unit: int
    """Divides the number of pairs, unless it is `batch_size`: parts of a batch must be even."""

    def of(self, target_width: int, count: int) -> int:
        """Of a bucket: no more than its `count` pairs need."""
        wanted = self.batch_size
        if self.batch_tokens is not None:
            wanted = max(1, self.batch_tokens // target_width // self.unit) * self.unit
        return min(wanted, -(-count // self.unit) * self.unit)


@dataclass(frozen=True)
class Bucket:
    """The pairs that are padded to the same widths."""

    target_width: int
    source_width: int
    rows: int
    """Of a batch."""
    members: np.ndarray
    """int [N], numbers of pairs."""

    @property
    def num_batches(self) -> int:
        return -(-len(self.members) // self.rows)


class Batches:
    """Batches of pairs.

    Pairs are sorted into buckets by the lengths of their targets, and those of a bucket by the lengths of their
    sources. An epoch shuffles each bucket, cuts it into batches, and shuffles these. Each pair comes once an epoch;
    what the last batch of a bucket lacks is masked.

    Args:
        pairs: What is read.
        rows: How many of them a batch has.
        pad_id: Stands where nothing is read.
        seed: Decides the order.
        max_padding: Share of positions that may be padding, of sources and of targets; see `choose_widths`.
    """

    def __init__(self, pairs: Pairs, rows: Rows, *, pad_id: int, seed: int, max_padding: float) -> None:
        self.pairs, self.pad_id, self.seed = pairs, pad_id, seed
        self.buckets = make_buckets(pairs.target_lengths, pairs.source_lengths, rows, max_padding)
        self.steps_per_epoch = sum(bucket.num_batches for bucket in self.buckets)
        self._plan = lru_cache(maxsize=2)(self._make_plan)

    @property
    def padding(self) -> float:
        """Share of an epoch's target positions that is padding, rows without a pair included."""
        positions = sum(one.num_batches * one.rows * one.target_width for one in self.buckets)
        return float(1 - self.pairs.target_lengths.sum() / positions)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """`source` (int32) and `source_mask` (bool) [B, S], `targets` (int32) and `mask` (bool) [B, T]."""
        bucket, members = self._of_step(step)
        source, source_mask = self._empty(bucket.rows, bucket.source_width)
        targets, mask = self._empty(bucket.rows, bucket.target_width)
        source_mask[:, 0] = True  # a row without a pair is read as a single id, so that attention is never of nothing
        for row, pair in enumerate(members):
            for of_pair, ids, real in (
                (self.pairs.source(pair), source, source_mask),
                (self.pairs.target(pair), targets, mask),
            ):
                ids[row, : len(of_pair)], real[row, : len(of_pair)] = of_pair, True
        return {"source": source, "source_mask": source_mask, "targets": targets, "mask": mask}

    def numbers(self, step: int) -> np.ndarray:
        """int32 [B], of the documents of a step's batch; -1 for rows without one."""
        bucket, members = self._of_step(step)
        numbers = np.full(bucket.rows, -1, np.int32)
        numbers[: len(members)] = members
        return numbers

    def _empty(self, rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((rows, width), self.pad_id, np.int32), np.zeros((rows, width), bool)

    def _make_plan(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        members, rows = [one.members for one in self.buckets], [one.rows for one in self.buckets]
        return epoch_plan(members, rows, [self.seed, epoch])

    def _of_step(self, step: int) -> tuple[Bucket, list[int]]:
        epoch, number = divmod(step, self.steps_per_epoch)
        bucket, members = self._plan(epoch)[number]
        return self.buckets[bucket], members.tolist()


def make_buckets(
    target_lengths: np.ndarray, source_lengths: np.ndarray, rows: Rows, max_padding: float
) -> list[Bucket]:
    """Few shapes for pairs of these lengths, int [D] each."""
    buckets = []
    for target_width, numbers in _sorted_into(target_lengths, max_padding, MOST_TARGET_WIDTHS):
        for source_width, inner in _sorted_into(source_lengths[numbers], max_padding, MOST_SOURCE_WIDTHS):
            buckets.append(Bucket(target_width, source_width, rows.of(target_width, len(inner)), numbers[inner]))
    return buckets


def _sorted_into(lengths: np.ndarray, max_padding: float, most: int) -> list[tuple[int, np.ndarray]]:
    """Widths, and the places of the lengths that each holds."""
    widths = choose_widths(lengths, max_padding, unit=1, most=most)
    buckets = assign(lengths, widths)
    return [(width, np.flatnonzero(buckets == number)) for number, width in enumerate(widths)]


__all__ = ["Batches", "Bucket", "Rows", "make_buckets"]
