"""What decoding asks of a model, and what it knows besides: one contract for networks of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    StepOutput = tuple[Float[Array, "B K V"], Float[Array, "B K S"] | None, Any]

Tree = TypeVar("Tree")

LEAST = -1e9
"""Log-probability of a token or an end that is forced though the model holds it to be impossible: finite, so that sums
of it are no NaN and rows can still be compared."""


class Step(Protocol):
    """One step of a decoder: reads a token of each hypothesis, says what comes next.

    Hypotheses of a document lie side by side: [B, K], K of them for each of B documents. What it says of one must not
    depend on the others. It is traced by JAX; parameters are closed over.
    """

    def __call__(self, memory: Any, state: Any, ids: Int[Array, "B K"]) -> StepOutput:
        """One step.

        Args:
            memory: Pytree of arrays [B, …], or None: what the encoder said of the documents, once for each and not for
                each hypothesis. No step changes it.
            state: Pytree of arrays [B, K, …] after all tokens before `ids`.
            ids: int32; at the first step `vocab_size`, a number outside of the vocabulary, for "nothing yet".

        Returns:
            Log-probabilities of the next token over the vocabulary, its end included, float32 in nats, normalised; what
            of the document is attended to, probabilities, zero where a document is padded, or None of a model without
            attention; the state [B, K, …] after `ids`, of the same structure, shapes and types.
        """
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The answers' vocabulary and greatest length."""

    vocab_size: int
    """V."""
    eos_id: int
    """What ends an answer; below V."""
    max_length: int
    """L: an answer that has not ended after so many tokens is cut off there, without an end; at least 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.eos_id < self.vocab_size:
            raise ValueError(f"`eos_id` (={self.eos_id}) must be below `vocab_size` (={self.vocab_size})")
        if self.max_length < 1:
            raise ValueError(f"`max_length` (={self.max_length}) must be at least 1")


def begin(target: Target, shape: tuple[int, int]) -> jax.Array:
    """int32 [B, K]: what a decoder reads at its first step."""
    return jnp.full(shape, target.vocab_size, jnp.int32)


def attention_of(step: Step, memory: Any, state: Any, ids: jax.Array) -> jax.ShapeDtypeStruct | None:
    """What a step will say of attention, [B, K, S], if it says anything."""
    attention: jax.ShapeDtypeStruct | None = jax.eval_shape(step, memory, state, ids)[1]
    return attention


def tile(state: Any, width: int) -> Any:
    """A state of each document, leaves [B, …], as that of K equal hypotheses [B, K, …]."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x[:, None], (x.shape[0], width, *x.shape[1:])), state)


def reorder(tree: Tree, parents: Int[Array, "B K"]) -> Tree:
    """Leaves [B, K, …]: hypothesis k becomes what `parents[:, k]` was."""

    def take(x: jax.Array) -> jax.Array:
        indices = parents.reshape(*parents.shape, *[1] * (x.ndim - 2))
        return jnp.take_along_axis(x, indices, axis=1, mode="promise_in_bounds")

    reordered: Tree = jax.tree.map(take, tree)
    return reordered


def where(rows: jax.Array, first: Tree, second: Tree) -> Tree:
    """Leaves [B, …]: row by row, by bool [B], the first or the second."""

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    chosen: Tree = jax.tree.map(choose, first, second)
    return chosen


def length_penalty(length: jax.Array | int, alpha: float) -> jax.Array:
    """((5 + length) / 6) ** α, by which a log-probability is divided; `length` counts tokens without the end.

    References: Wu et al., "Google's neural machine translation system", 2016, equation 14.
    """
    penalty: jax.Array = ((5.0 + jnp.asarray(length, jnp.float32)) / 6.0) ** jnp.float32(alpha)
    return penalty


__all__ = ["LEAST", "Step", "Target", "attention_of", "begin", "length_penalty", "reorder", "tile", "where"]
