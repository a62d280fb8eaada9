"""Adaptive softmax: frequent tokens are decided at once, rare ones after it is known that the token is a rare one.

Tokens are ranked by how often they occur in the training text. The head holds the first of them and one entry for each
tail; a tail holds the tokens of a range of ranks, with smaller embeddings. P(token) = P(head entry), times P(token in
its tail) for a rare one: a distribution over the whole vocabulary, but a row of a batch costs the head and, if its
target is rare, one tail.

References:
    Grave et al., "Efficient softmax approximation for GPUs", 2017.
    Baevski & Auli, "Adaptive input representations for neural language modeling", 2019 (tied: the inputs are read
    from the same smaller embeddings, through the same projections).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from lmtool.errors import ConfigError
from lmtool.matmul import matmul
from lmtool.tasks.output import LOGITS_AT_ONCE, chosen_log_probs, in_pieces, logits, uniform, zeros
from lmtool.tasks.softmax import weighted_nll
from lmtool.tasks.some_rows import log_probs_of_some, nll_of_some

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from lmtool.array_types import Key
    from lmtool.tasks.output import Parameter, Weights


@dataclass(frozen=True)
class Tail:
    """Ranks from `start` to `stop`, whose embeddings have `size` numbers."""

    number: int
    start: int
    stop: int
    size: int

    def inside(self, ranks: jax.Array) -> jax.Array:
        return (ranks >= self.start) & (ranks < self.stop)

    def chunk(self, num_rows: int, vocab_size: int) -> int:
        """Rows to read at once: somewhat more than have a target here under Zipf's law, so that it is mostly one go."""
        share = math.log((self.stop + 1) / (self.start + 1)) / math.log(vocab_size + 1)
        rows = -(-int(num_rows * share * 1.25 + 8) // 8) * 8
        return max(1, min(rows, num_rows, LOGITS_AT_ONCE // (self.stop - self.start)))


@dataclass(frozen=True, eq=False)
class AdaptiveSoftmax:
    """See `lmtool.tasks.output.OutputLayer`."""

    vocab_size: int
    embedding_size: int
    tied: bool
    cutoffs: tuple[int, ...]
    """Ranks at which tails begin, ascending."""
    division: float
    ranks: np.ndarray
    """int32 [V]: the rank of each id, a permutation."""

    def __post_init__(self) -> None:
        if list(self.cutoffs) != sorted(set(self.cutoffs)) or self.cutoffs[-1] >= self.vocab_size:
            raise ConfigError(
                f"task.cutoffs must ascend and be below the vocabulary's size of {self.vocab_size}, "
                f"got {list(self.cutoffs)}"
            )

    @property
    def tails(self) -> list[Tail]:
        stops = (*self.cutoffs[1:], self.vocab_size)
        return [
            Tail(i, start, stop, max(1, round(self.embedding_size / self.division**i)))
            for i, (start, stop) in enumerate(zip(self.cutoffs, stops, strict=True), 1)
        ]

    @property
    def _prefix(self) -> str:
        return "" if self.tied else "output_"

    def parameters(self) -> dict[str, Parameter]:
        size, head, prefix = self.embedding_size, self.cutoffs[0], self._prefix
        wanted: dict[str, Parameter] = {} if self.tied else {"embedding": (uniform(0.1), (self.vocab_size, size))}
        wanted |= {f"{prefix}embedding_0": (uniform(0.1), (head, size))}
        wanted |= {"tails_embedding": (uniform(0.1), (len(self.cutoffs), size))}
        wanted |= {"output_bias_0": (zeros, (head + len(self.cutoffs),))}
        for tail in self.tails:
            wanted[f"{prefix}embedding_{tail.number}"] = (uniform(0.1), (tail.stop - tail.start, tail.size))
            wanted[f"output_bias_{tail.number}"] = (zeros, (tail.stop - tail.start,))
            if tail.size != size:
                # Embeddings that went through it have the variance of the head's.
                scaled = uniform(math.sqrt(3 / tail.size))
                wanted[f"{prefix}projection_{tail.number}"] = (scaled, (tail.size, size))
        return wanted

    def constants(self) -> dict[str, np.ndarray]:
        return {"ranks": self.ranks}

    def embed(self, weights: Weights, ids: jax.Array) -> jax.Array:
        ranks = jnp.asarray(self.ranks)[ids]
        if not self.tied:
            return weights["embedding"][ranks]
        embedded = _rows(weights["embedding_0"], jnp.where(ranks < self.cutoffs[0], ranks, self.vocab_size))
        for tail in self.tails:
            wanted = jnp.where(tail.inside(ranks), ranks - tail.start, self.vocab_size)
            rows = _rows(weights[f"embedding_{tail.number}"], wanted)
            projection = weights.get(f"projection_{tail.number}")
            embedded = embedded + (rows if projection is None else matmul(rows, projection))
        return embedded

    def nll(self, weights: Weights, h: jax.Array, targets: jax.Array, importance: jax.Array, *, key: Key) -> jax.Array:
        ranks = jnp.asarray(self.ranks)[targets]
        loss: jax.Array = weighted_nll(h, *self._head(weights), self._head_targets(ranks), importance)
        for tail, rows, embedding, bias in self._read_tails(weights, h):
            inside = tail.inside(ranks)
            wanted = jnp.where(inside, ranks - tail.start, 0)
            chunk = tail.chunk(ranks.size, self.vocab_size)
            loss += nll_of_some(rows, embedding, bias, wanted, jnp.where(inside, importance, 0.0), chunk)
        return loss

    def target_log_probs(self, weights: Weights, h: jax.Array, targets: jax.Array) -> jax.Array:
        ranks = jnp.asarray(self.ranks)[targets]
        head = self._head(weights)
        found = in_pieces(
            lambda *rows: chosen_log_probs(logits(rows[0], *head), rows[1]), h, self._head_targets(ranks), head[1].size
        )
        with jax.default_matmul_precision("highest"):
            for tail, rows, embedding, bias in self._read_tails(weights, h):
                inside = tail.inside(ranks)
                wanted = jnp.where(inside, ranks - tail.start, 0)
                chunk = tail.chunk(ranks.size, self.vocab_size)
                found += log_probs_of_some(rows, embedding, bias, wanted, inside, chunk)
        return found

    def log_probs(self, weights: Weights, h: jax.Array) -> jax.Array:
        head = jax.nn.log_softmax(logits(h, *self._head(weights)))
        parts = [head[:, : self.cutoffs[0]]]
        with jax.default_matmul_precision("highest"):
            for tail, rows, embedding, bias in self._read_tails(weights, h):
                of_tail = head[:, self.cutoffs[0] + tail.number - 1, None]
                parts.append(of_tail + jax.nn.log_softmax(logits(rows, embedding, bias)))
        return jnp.concatenate(parts, axis=1)[:, jnp.asarray(self.ranks)]

    def _head(self, weights: Weights) -> tuple[jax.Array, jax.Array]:
        """Embedding and bias of the frequent tokens, then of the tails."""
        embedding = jnp.concatenate([weights[f"{self._prefix}embedding_0"], weights["tails_embedding"]])
        return embedding, weights["output_bias_0"]

    def _head_targets(self, ranks: jax.Array) -> jax.Array:
        """The entry of the head to which each rank belongs."""
        tail = jnp.sum(ranks[:, None] >= jnp.asarray(self.cutoffs)[None], axis=1, dtype=jnp.int32)
        return jnp.where(tail == 0, ranks, self.cutoffs[0] + tail - 1)

    def _read_tails(self, weights: Weights, h: jax.Array) -> Iterator[tuple[Tail, jax.Array, jax.Array, jax.Array]]:
        """Each tail with h in its size, [N, size], its embedding and its bias.

        All rows are projected, not only those with a target there: that costs little beside the head.
        """
        for tail in self.tails:
            projection = weights.get(f"{self._prefix}projection_{tail.number}")
            rows = h if projection is None else matmul(h, projection, transpose=True)
            yield tail, rows, weights[f"{self._prefix}embedding_{tail.number}"], weights[f"output_bias_{tail.number}"]


def _rows(array: jax.Array, indices: jax.Array) -> jax.Array:
    """`array[indices]`, zeros where there is no such row."""
    return array.at[indices].get(mode="fill", fill_value=0)


__all__ = ["AdaptiveSoftmax", "Tail"]
