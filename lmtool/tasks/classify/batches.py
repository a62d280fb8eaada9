"""Documents to training batches: like lengths together, each batch a pure function of the seed and the step."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lmtool.tasks.buckets import assign, choose_widths, epoch_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.array_types import Stream
    from lmtool.data.dataset import Split
    from lmtool.tasks.classify.documents import Cutter

    Augment = Callable[[Stream, np.random.Generator], Stream]


class Batches:
    """Batches of a labelled split.

    Documents are sorted into buckets by their lengths. An epoch shuffles each bucket, cuts it into batches, and
    shuffles these. Each document comes once an epoch; what the last batch of a bucket lacks has the weight 0.

    Args:
        split: Read document by document.
        targets: int32 [D], the class of each; float32 [D, C], 1 for each label that it has.
        cutter: Decides what is read of a document.
        batch_size: B.
        seed: Decides the order, which window is read, and what an augmentation does.
        max_padding: See `choose_widths`; of the documents as they are, before augmentations.
        augment: Changes what is read, anew each epoch.
    """

    def __init__(
        self,
        split: Split,
        targets: np.ndarray,
        cutter: Cutter,
        *,
        batch_size: int,
        seed: int,
        max_padding: float,
        augment: Augment | None = None,
    ) -> None:
        self.split, self.targets, self.cutter = split, targets, cutter
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        lengths = np.array([cutter.length(self._ids(number)) for number in range(split.num_documents)])
        self.widths = choose_widths(lengths, max_padding)
        buckets = assign(lengths, self.widths)
        self._members = [np.flatnonzero(buckets == bucket) for bucket in range(len(self.widths))]
        self.steps_per_epoch = sum(-(-len(members) // batch_size) for members in self._members)
        self._plan = lru_cache(maxsize=2)(self._make_plan)
        positions = sum(
            -(-len(members) // batch_size) * batch_size * width
            for members, width in zip(self._members, self.widths, strict=True)
        )
        self.padding = 1 - lengths.sum() / positions
        """Share of an epoch's positions that is padding, rows without a document included."""

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """`inputs` (int32) and `mask` (bool) [B, T], `targets` [B] or [B, C], `weights` float32 [B]."""
        epoch, number = divmod(step, self.steps_per_epoch)
        bucket, documents = self._plan(epoch)[number]
        width, count = self.widths[bucket], len(documents)
        inputs = np.full((self.batch_size, width), self.cutter.eos_id, np.int32)
        mask = np.zeros((self.batch_size, width), bool)
        mask[:, 0] = True  # a row without a document is read as a single id, so that nothing is divided by zero
        for row, document in enumerate(documents.tolist()):
            ids = self._read(epoch, document, width)
            inputs[row, : len(ids)] = ids
            mask[row, : len(ids)] = True
        targets = np.zeros((self.batch_size, *self.targets.shape[1:]), self.targets.dtype)
        targets[:count] = self.targets[documents]
        weights = (np.arange(self.batch_size) < count).astype(np.float32)
        return {"inputs": inputs, "mask": mask, "targets": targets, "weights": weights}

    def _read(self, epoch: int, document: int, width: int) -> Stream:
        ids = self._ids(document)
        if self.augment is None and self.cutter.keep != "windows":
            return self.cutter.windows(ids)[0]
        # The last number keeps these streams apart from those of the order: [seed, epoch] and [seed, epoch, 0] are one.
        rng = np.random.default_rng([self.seed, epoch, document, 1])
        if self.augment is None:
            return self.cutter.window(ids, rng)
        return self.cutter.within(width).window(self.augment(ids, rng), rng)

    def _ids(self, document: int) -> Stream:
        ends = self.split.document_ends
        return self.split.read(int(ends[document - 1]) if document else 0, int(ends[document]))

    def _make_plan(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        return epoch_plan(self._members, [self.batch_size] * len(self._members), [self.seed, epoch])


__all__ = ["Augment", "Batches"]
