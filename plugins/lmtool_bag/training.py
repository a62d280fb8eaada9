"""One bag of embedded features: its weights and how they are trained."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lmtool_bag import training_kernels as kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from lmtool_bag.config import BagConfig
    from lmtool_bag.features import Bags

BATCHES = 64
"""Between two calls of `progress`."""
SHARED = 1 << 12
"""Features of a batch's documents from which on threads share its work: about 0.3 ms of it."""
LINE = 16
"""float32 numbers of a cache line."""
ROWS = 1 << 14
"""Whose initial weights are drawn at once."""


@dataclass(frozen=True)
class Labels:
    """The labels of documents: those of document i are `ids[starts[i]:starts[i + 1]]`."""

    ids: np.ndarray
    """int32."""
    starts: np.ndarray
    """int64 [D + 1]."""
    classes: int
    multi: bool
    """True if a document may have any number of labels; False if it has one."""


class Weights(NamedTuple):
    """What a bag learns. `log softmax(output @ (weights @ table) + bias)`."""

    table: np.ndarray
    """float32 [F, E]."""
    output: np.ndarray
    """float32 [C, E]."""
    bias: np.ndarray
    """float32 [C]."""


def initial(config: BagConfig, member: int, features: int, classes: int) -> Weights:
    """Small random numbers, a pure function of the arguments. Columns beyond `dim` are zero, and stay so."""
    rng = np.random.default_rng([config.seed, member, 0])
    table, width = _aligned(features, config.dim), config.dim
    for start in range(0, features, ROWS):
        part = table[start : start + ROWS, :width]
        part[:] = (rng.random(part.shape, np.float32) - np.float32(0.5)) * np.float32(2 / width)
    output = _aligned(classes, width)
    output[:, :width] = rng.standard_normal((classes, width), np.float32) * np.float32(width**-0.5)
    return Weights(table, output, np.zeros(classes, np.float32))


def _aligned(rows: int, width: int) -> np.ndarray:
    """Zeros, float32 [rows, width], with more columns so that each row is whole cache lines."""
    columns = -(-width // LINE) * LINE
    room = np.zeros(rows * columns + LINE, np.float32)
    skipped = -room.ctypes.data // room.itemsize % LINE
    return room[skipped : skipped + rows * columns].reshape(rows, columns)


def train(
    bags: Bags,
    labels: Labels,
    config: BagConfig,
    features: int,
    member: int,
    progress: Callable[[float], None],
    threads: int = 1,
) -> Weights:
    """A trained bag: a pure function of the arguments but the last two, bit for bit.

    Args:
        bags: The training documents.
        labels: Their labels.
        config: Of the model.
        features: F, how many there are.
        member: Its number among those that are trained.
        progress: Called with the fraction of the work done.
        threads: That share the work of a step.
    """
    weights = initial(config, member, features, labels.classes)
    with ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="bag-step") as pool:
        trainer = Trainer(bags, labels, config, weights, np.random.default_rng([config.seed, member, 1]), pool, threads)
        steps = config.epochs * trainer.steps_per_epoch
        for epoch in range(config.epochs):
            for step, documents in enumerate(trainer.batches(), epoch * trainer.steps_per_epoch):
                trainer.step(documents, config.learning_rate * (1 - step / steps))
                if step % BATCHES == 0:
                    progress(step / steps)
    return weights


class Trainer:
    """Weights, their moments, and room for one batch."""

    def __init__(
        self,
        bags: Bags,
        labels: Labels,
        config: BagConfig,
        weights: Weights,
        rng: np.random.Generator,
        pool: Executor | None = None,
        threads: int = 1,
    ) -> None:
        self.bags, self.labels, self.config, self.weights, self.rng = bags, labels, config, weights, rng
        self.pool, self.threads = pool, threads
        self.steps_per_epoch = -(-len(bags) // config.batch_size)
        self.num_steps = 0
        self.keys = rng.integers(1 << 63, size=2).tolist()
        (features, self.dim), classes = weights.table.shape, labels.classes
        size = min(config.batch_size, len(bags))
        self.moments = np.zeros(features, np.float32)
        self.small = [(array, *(np.zeros_like(array) for _ in range(3))) for array in (weights.output, weights.bias)]
        self.head = np.full(features, -1, np.int32)
        self.hidden, self.squares = _aligned(size, self.dim), np.empty(size, np.float32)
        self.logits = np.empty((size, classes), np.float32)
        self.transposed = np.empty((self.dim, classes), np.float32)
        self.room = 0
        self._make_room(1 << 12)

    def batches(self) -> Iterator[np.ndarray]:
        """The documents of each step of an epoch, in random order: int32 [B], the last one shorter."""
        order = self.rng.permutation(len(self.bags)).astype(np.int32)
        size = self.config.batch_size
        return (order[start : start + size] for start in range(0, len(order), size))

    def step(self, documents: np.ndarray, learning_rate: float) -> float:
        """Learn from a batch; its mean loss, in nats."""
        size, starts = len(documents), self.bags.starts
        offsets = np.concatenate([[0], np.cumsum(starts[documents + 1] - starts[documents])])
        self._make_room(int(offsets[-1]))
        parts = self.threads if offsets[-1] >= SHARED else 1
        self._share(lambda part: self._gather(documents, offsets, part, parts), parts)
        loss = self._output_layer(documents)
        self.num_steps += 1
        rate = self.num_steps, learning_rate, 1 / size
        self._share(lambda part: self._update_rows(documents, offsets, rate, part, parts), parts)
        for array, grads, first, second in self.small:
            kernels.adam(array, grads, first, second, array.size, *rate)
        return loss / size

    def _share(self, work: Callable[[int], None], parts: int) -> None:
        others = [self.pool.submit(work, part) for part in range(1, parts)] if self.pool else []
        work(0)
        for one in others:
            one.result()

    def _gather(self, documents: np.ndarray, offsets: np.ndarray, part: int, parts: int) -> None:
        """To `hidden`, the documents' vectors."""
        first, last = np.searchsorted(offsets[:-1], [offsets[-1] * part // parts, offsets[-1] * (part + 1) // parts])
        bags = self.bags.starts, self.bags.rows, self.bags.weights, offsets
        random = self.config.word_dropout, self.keys[0], self.num_steps << 32
        kernels.gather(documents, first, last if part + 1 < parts else len(documents), *bags,
                       self.weights.table, self.hidden, self.kept, self.dim, *random)  # fmt: skip

    def _output_layer(self, documents: np.ndarray) -> float:
        """The sum of the losses; leaves gradients in `hidden` and `small`."""
        config, labels = self.config, self.labels
        output = self.weights.output, self.weights.bias, self.transposed, self.logits
        sizes = self.dim, labels.classes, labels.multi, config.dropout, config.label_smoothing
        loss: float = kernels.output_layer(
            documents, len(documents), labels.ids, labels.starts, self.hidden, self.squares, *output,
            self.small[0][1], self.small[1][1], *sizes, self.keys[1], self.num_steps << 32,
        )  # fmt: skip
        return loss

    def _update_rows(
        self, documents: np.ndarray, offsets: np.ndarray, rate: tuple[int, float, float], part: int, parts: int
    ) -> None:
        bags = self.bags.starts, self.bags.rows, offsets, self.kept
        weights = self.weights.table, self.moments, self.hidden, self.squares
        room = self.head, self.after, self.owner, *self.rooms[part]
        kernels.update_rows(documents, len(documents), *bags, *weights, *room, self.dim, *rate, self.config.l2,
                            part, parts)  # fmt: skip

    def _make_room(self, occurrences: int) -> None:
        """For so many features of documents in a batch."""
        if occurrences > self.room:
            self.room = room = 2 * occurrences
            self.after, self.owner, self.kept = (np.empty(room, dtype) for dtype in (np.int32, np.int32, np.float32))
            self.rooms = [(np.empty(room, np.int32), np.empty(self.dim, np.float32)) for _ in range(self.threads)]


__all__ = ["Labels", "Trainer", "Weights", "initial", "train"]
