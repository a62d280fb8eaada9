"""Trained bags as one: a table of features and, where there are many classes, a second factor.

A bag's logits are linear in its documents, `weights @ table @ output.T + bias`, and so is the mean of several bags'
logits. Multiplied out, any number of members costs what one does, and C numbers a feature instead of E.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lmtool.compiled import compiled
from lmtool_bag.training_kernels import add_scaled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmtool_bag.features import Bags
    from lmtool_bag.training import Weights


class Scorer(NamedTuple):
    """Logits of a document: `weights @ table + bias`, or `(weights @ table) @ output.T + bias`."""

    table: np.ndarray
    """float32 [F, C], or [F, K] with K less than C."""
    output: np.ndarray
    """float32 [C, K]; [0, 0] if the table has a column a class."""
    bias: np.ndarray
    """float32 [C]."""

    def log_probs(self, bags: Bags, *, multi_label: bool) -> np.ndarray:
        """float64 [D, C], nats; see `lmtool.api.Classifier`."""
        classes, width = len(self.bias), self.table.shape[1]
        out = np.empty((len(bags), classes))
        room = np.empty(width, np.float32), np.empty(classes, np.float32)
        documents = bags.rows, bags.weights, bags.starts, len(bags)
        _log_probs(*documents, *self, *room, out, width, classes, len(self.output) > 0, multi_label)
        return out


def averaged(members: Iterable[Weights], number: int) -> Scorer:
    """The bag whose logits are the mean of those of `number` members, which are taken one by one."""
    table: np.ndarray | None = None
    parts: list[Weights] = []
    biases: list[np.ndarray] = []
    for one in members:
        classes, dim = one.output.shape
        biases.append(one.bias)
        if classes > number * dim:
            parts.append(one)
            continue
        if table is None:
            table = np.zeros((len(one.table), classes), np.float32)
        output = np.ascontiguousarray(one.output.T / np.float32(number))
        _multiply(one.table, output, table, len(table), dim, classes)
    bias = np.mean(biases, axis=0)
    if table is not None:
        return Scorer(table, np.empty((0, 0), np.float32), bias)
    outputs = np.concatenate([one.output for one in parts], axis=1) / np.float32(number)
    return Scorer(np.concatenate([one.table for one in parts], axis=1), outputs, bias)


@compiled("float32[:], float32[:], float32[:], int64, int64, int64", add_scaled)
def _multiply(table, output, out, rows, dim, classes):  # type: ignore[no-untyped-def]
    """out += table @ output, where `output` is [dim, classes]. Not by BLAS, whose sums depend on its threads."""
    for row in range(rows):
        for k in range(dim):
            add_scaled(out, row * classes, table[row * dim + k], output, k * classes, classes)


@compiled(
    "int32[:], float32[:], int64[:], int64, float32[:], float32[:], float32[:], float32[:], float32[:], float64[:],"
    "int64, int64, int64, int64",
    add_scaled,
)  # fmt: skip
def _log_probs(  # type: ignore[no-untyped-def]
    rows, weights, starts, documents, table, output, bias, hidden, logits, out, width, classes, factored, multi
):
    """Log-probabilities of each document by itself: float64 [documents, classes]."""
    for i in range(documents):
        for k in range(width):
            hidden[k] = np.float32(0)
        for j in range(starts[i], starts[i + 1]):
            add_scaled(hidden, 0, weights[j], table, np.int64(rows[j]) * width, width)
        for c in range(classes):
            logits[c] = bias[c]
            if factored:
                for k in range(width):
                    logits[c] += hidden[k] * output[c * width + k]
            else:
                logits[c] += hidden[c]
        at, total, largest = i * classes, 0.0, np.float64(logits[0])
        for c in range(classes):
            largest = max(largest, np.float64(logits[c]))
        for c in range(classes):
            total += np.exp(np.float64(logits[c]) - largest)
        norm = np.log(total) + largest
        for c in range(classes):
            x = np.float64(logits[c])
            out[at + c] = min(x, 0.0) - np.log1p(np.exp(-abs(x))) if multi else x - norm


__all__ = ["Scorer", "averaged"]
