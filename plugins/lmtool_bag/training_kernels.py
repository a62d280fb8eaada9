"""Steps of training as machine code: a step costs what its documents hold, whatever the number of features.

The occurrences of features in a batch are numbered, document after document. Those of one feature are chained: `head`
has, for each feature, its last occurrence in the batch, `after` the one before that. So a row's gradient is summed up
in one place, and each row is read and written once a step.

Threads share the work of a step: of `gather` each takes some documents, of `update_rows` some features. Whoever does
it, a document's vector and a row's gradient are sums in the same order: the number of threads changes nothing.

References:
    Joulin et al., "Bag of tricks for efficient text classification", 2017.
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015.
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lmtool.compiled import compiled

DECAY_1, DECAY_2, EPSILON = 0.9, 0.999, 1e-8
"""Of the moments in Adam."""


def uniform(key: Any, counter: Any) -> Any:
    """A pseudo-random number of a counter, from 0 to 1 (SplitMix64)."""
    bits = np.uint64(key) + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


def add_scaled(target: Any, target_at: Any, scale: Any, source: Any, source_at: Any, size: Any) -> None:
    """target += scale * source, each from its offset on."""
    for k in range(size):
        target[target_at + k] += scale * source[source_at + k]


def mean_square(vector: Any, at: Any, size: Any) -> Any:
    """Summed up in eight lanes, which the machine adds at once."""
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    e, f, g, h = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    whole = size - size % 8
    for k in range(at, at + whole, 8):
        a += vector[k] * vector[k]
        b += vector[k + 1] * vector[k + 1]
        c += vector[k + 2] * vector[k + 2]
        d += vector[k + 3] * vector[k + 3]
        e += vector[k + 4] * vector[k + 4]
        f += vector[k + 5] * vector[k + 5]
        g += vector[k + 6] * vector[k + 6]
        h += vector[k + 7] * vector[k + 7]
    for k in range(at + whole, at + size):
        a += vector[k] * vector[k]
    return (((a + e) + (b + f)) + ((c + g) + (d + h))) / np.float32(size)


def to_probabilities(logits: Any, at: Any, classes: Any, multi: Any) -> Any:
    """In place: softmax, or `multi`: a sigmoid a class; the sum of what their logarithms are divided by, in nats."""
    norm, total, largest = 0.0, 0.0, np.float64(logits[at])
    if multi:
        for c in range(at, at + classes):
            x = np.float64(logits[c])
            norm += max(x, 0.0) + np.log1p(np.exp(-abs(x)))
            logits[c] = np.float32(1 / (1 + np.exp(-x)))
        return norm
    for c in range(at + 1, at + classes):
        largest = max(largest, np.float64(logits[c]))
    for c in range(at, at + classes):
        total += np.exp(np.float64(logits[c]) - largest)
    norm = np.log(total) + largest
    for c in range(at, at + classes):
        logits[c] = np.float32(np.exp(np.float64(logits[c]) - norm))
    return norm


def to_errors(
    logits: Any, at: Any, classes: Any, labels: Any, first: Any, last: Any, multi: Any, smoothing: Any
) -> Any:
    """A document's logits to the gradient of its loss by them, in place; the loss, in nats.

    The targets are the labels `first` to `last`, smoothed. The loss is their cross-entropy.
    """
    kept, share = np.float32(1 - smoothing), np.float32(smoothing / (2 if multi else classes))
    expected = 0.0
    for c in range(at, at + classes):
        expected += np.float64(share) * np.float64(logits[c])
    for i in range(first, last):
        expected += np.float64(kept) * np.float64(logits[at + labels[i]])
    norm = to_probabilities(logits, at, classes, multi)
    for c in range(at, at + classes):
        logits[c] -= share
    for i in range(first, last):
        logits[at + labels[i]] -= kept
    return norm - expected


@compiled("float32[:], float32[:], float32[:], float32[:], int64, float64, float64, float64")
def adam(values, grads, first, second, size, step, learning_rate, scale):  # type: ignore[no-untyped-def]
    """One step of Adam on a small array; `grads` are multiplied by `scale`, then set to zero."""
    step_size = learning_rate / (1 - DECAY_1**step)
    correction = 1 / (1 - DECAY_2**step)
    for i in range(size):
        grad = np.float64(grads[i]) * scale
        grads[i] = np.float32(0)
        first[i] = np.float32(DECAY_1 * first[i] + (1 - DECAY_1) * grad)
        second[i] = np.float32(DECAY_2 * second[i] + (1 - DECAY_2) * grad * grad)
        values[i] -= np.float32(step_size * first[i] / (np.sqrt(second[i] * correction) + EPSILON))


@compiled(
    "int32[:], int64, int64, int64[:], int32[:], float32[:], int64[:], float32[:], float32[:], float32[:], int64,"
    "float64, int64, int64",
    uniform, add_scaled,
)  # fmt: skip
def gather(  # type: ignore[no-untyped-def]
    documents, first, last, starts, rows, weights, offsets, table, hidden, kept, dim, dropout, key, counter
):
    """The vectors of some documents of a batch, `first` to `last`: hidden [B, dim].

    Args:
        documents: [B], which.
        starts, rows, weights: See `features.Bags`.
        offsets: [B + 1], where each document's occurrences start.
        table: [F, dim], the embedding.
        kept: For each occurrence its weight.
        dropout: Rate at which occurrences weigh nothing; the others weigh more for it.
        key, counter: Of random numbers.
    """
    scale = np.float32(1 / (1 - dropout))
    for i in range(first, last):
        for k in range(i * dim, i * dim + dim):
            hidden[k] = np.float32(0)
        start = starts[documents[i]]
        for j in range(start, starts[documents[i] + 1]):
            at = offsets[i] + j - start
            kept[at] = weights[j]
            if dropout > 0:
                is_left_out = uniform(key, counter + at) < dropout
                kept[at] = np.float32(0) if is_left_out else weights[j] * scale
            if kept[at] != 0:
                add_scaled(hidden, i * dim, kept[at], table, np.int64(rows[j]) * dim, dim)


@compiled(
    "int32[:], int64, int32[:], int64[:], float32[:], float32[:], float32[:], float32[:], float32[:], float32[:],"
    "float32[:], float32[:], int64, int64, int64, float64, float64, int64, int64 -> float64",
    uniform, add_scaled, mean_square, to_probabilities, to_errors,
)  # fmt: skip
def output_layer(  # type: ignore[no-untyped-def]
    documents, size, labels, label_starts, hidden, squares, output, bias, transposed, logits, output_grads, bias_grads,
    dim, classes, multi, dropout, smoothing, key, counter,
):  # fmt: skip
    """Logits, loss and gradients of a batch; returns the sum of the losses, in nats.

    Args:
        documents, size: The batch, [B] and B.
        labels, label_starts: CSR: the labels of document i are `label_starts[i]` to `label_starts[i + 1]`.
        hidden: [B, dim]; its gradient takes its place.
        squares: [B], the mean square of that gradient; the result.
        output, bias: [classes, dim], [classes].
        transposed: Room for [dim, classes].
        logits: Room for [B, classes].
        output_grads, bias_grads: Like `output` and `bias`, zeros; the result, summed over documents.
        key, counter: Of random numbers.
    """
    loss = 0.0
    scale = np.float32(1 / (1 - dropout))
    for c in range(classes):
        for k in range(dim):
            transposed[k * classes + c] = output[c * dim + k]
    for i in range(size):
        at, start = i * classes, i * dim
        if dropout > 0:
            for k in range(start, start + dim):
                hidden[k] *= np.float32(0) if uniform(key, counter + k) < dropout else scale
        for c in range(classes):
            logits[at + c] = bias[c]
        for k in range(dim):
            add_scaled(logits, at, hidden[start + k], transposed, k * classes, classes)
        first, last = label_starts[documents[i]], label_starts[documents[i] + 1]
        loss += to_errors(logits, at, classes, labels, first, last, multi, smoothing)
        for c in range(classes):
            bias_grads[c] += logits[at + c]
            add_scaled(output_grads, c * dim, logits[at + c], hidden, start, dim)
        for k in range(start, start + dim):
            hidden[k] = np.float32(0)
        for c in range(classes):
            add_scaled(hidden, start, logits[at + c], output, c * dim, dim)
        if dropout > 0:
            for k in range(start, start + dim):
                hidden[k] *= np.float32(0) if uniform(key, counter + k) < dropout else scale
        squares[i] = mean_square(hidden, start, dim)
    return loss


@compiled(
    "int32[:], int64, int64[:], int32[:], int64[:], float32[:], float32[:], float32[:], float32[:], float32[:],"
    "int32[:], int32[:], int32[:], int32[:], float32[:], int64, float64, float64, float64, float64, int64, int64",
    add_scaled, mean_square,
)  # fmt: skip
def update_rows(  # type: ignore[no-untyped-def]
    documents, size, starts, rows, offsets, kept, table, moments, hidden_grads, squares, head, after, owner, touched,
    grad, dim, step, learning_rate, scale, l2, part, parts,
):  # fmt: skip
    """Move the rows of a batch whose number has the remainder `part` by `parts`.

    As Adam without momentum, with one second moment a row. A row's moment changes only when the row is touched, so what
    is rare takes steps as large as what is frequent.

    Args:
        documents, size: The batch, [B] and B.
        starts, rows, offsets, kept, table: See `gather`.
        moments: [F].
        hidden_grads, squares: [B, dim] and [B], from `output_layer`.
        head: [F], -1 everywhere, as it is again at the end.
        after, owner: Room for a number an occurrence: the one before it of that feature, and its document.
        touched, grad: Room for the thread's features, and for [dim].
        step: From 1.
        scale: Of the gradients: one over the documents in the batch.
        l2: Of weight decay.
    """
    num_touched = np.int64(0)
    for i in range(size):
        start = starts[documents[i]]
        for j in range(start, starts[documents[i] + 1]):
            row, at = np.int64(rows[j]), offsets[i] + j - start
            if row % parts == part and kept[at] != 0:
                if head[row] < 0:
                    touched[num_touched] = row
                    num_touched += 1
                after[at], owner[at] = head[row], i
                head[row] = at
    decay, correction = np.float32(DECAY_2), np.float32(1 / (1 - DECAY_2**step))
    rate, shrink = np.float32(learning_rate), np.float32(1 - learning_rate * l2)
    factor, epsilon = np.float32(scale), np.float32(EPSILON)
    for i in range(num_touched):
        row = np.int64(touched[i])
        at = np.int64(head[row])
        head[row] = -1
        alone = after[at] < 0
        if not alone:
            for k in range(dim):
                grad[k] = np.float32(0)
            while at >= 0:
                add_scaled(grad, 0, kept[at], hidden_grads, np.int64(owner[at]) * dim, dim)
                at = np.int64(after[at])
        weight = factor * (kept[at] if alone else np.float32(1))
        square = weight * weight * (squares[owner[at]] if alone else mean_square(grad, 0, dim))
        moments[row] = decay * moments[row] + (np.float32(1) - decay) * square
        move = -rate * weight / (np.sqrt(moments[row] * correction) + epsilon)
        if l2 > 0:
            for k in range(row * dim, row * dim + dim):
                table[k] *= shrink
        if alone:
            add_scaled(table, row * dim, move, hidden_grads, np.int64(owner[at]) * dim, dim)
        else:
            add_scaled(table, row * dim, move, grad, 0, dim)


__all__ = ["adam", "gather", "output_layer", "update_rows"]
