"""A token stream as batches: B streams side by side, cut into windows of T time steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtool.errors import DataError

if TYPE_CHECKING:
    from lmtool.data.dataset import Split


class Windows:
    """Batches of a split, each a pure function of the seed and the step.

    The text is a ring of N tokens: its end is followed by its start. An epoch cuts it into B streams of ceil(N / B)
    tokens and reads them side by side, T at a time; what the last stream and the last window lack is masked, so that
    every token is a target exactly once an epoch and every batch has the same shape.

    Args:
        split: Read piece by piece; never held in memory.
        batch_size: B.
        bptt: T.
        seed: Decides where each epoch makes its first cut.
        shift: False to cut each epoch at the start of the text.

    Raises:
        DataError: if the split is empty.
    """

    def __init__(self, split: Split, *, batch_size: int, bptt: int, seed: int, shift: bool) -> None:
        if not split.num_tokens:
            raise DataError(f"the {split.name} split has no tokens to learn from")
        self.split = split
        self.batch_size = batch_size
        self.bptt = bptt
        self.seed = seed
        self.shift = shift
        self.stream_length = -(-split.num_tokens // batch_size)
        self.steps_per_epoch = -(-self.stream_length // bptt)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """`inputs`, `targets` (int32) and `mask` (bool), [B, T] each."""
        epoch, window = divmod(step, self.steps_per_epoch)
        first = window * self.bptt
        offset = self._offset(epoch)
        ids = np.zeros((self.batch_size, self.bptt + 1), np.int32)
        mask = np.zeros((self.batch_size, self.bptt), bool)
        for row in range(self.batch_size):
            start = row * self.stream_length + first
            end = min((row + 1) * self.stream_length, self.split.num_tokens)
            if (count := min(self.bptt, end - start)) > 0:
                # one before the first target: its input
                ids[row, : count + 1] = self._read(offset + start - 1, count + 1)
                mask[row, :count] = True
        return {"inputs": ids[:, :-1], "targets": ids[:, 1:], "mask": mask}

    def _offset(self, epoch: int) -> int:
        if not self.shift:
            return 0
        return int(np.random.default_rng([self.seed, epoch]).integers(self.split.num_tokens))

    def _read(self, start: int, count: int) -> np.ndarray:
        """`count` ids of the ring from `start` on, which may lie beyond its end or before its start."""
        size = self.split.num_tokens
        start %= size
        pieces = []
        while count > 0:
            piece = self.split.read(start, min(start + count, size))
            pieces.append(piece)
            count -= len(piece)
            start = 0
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
