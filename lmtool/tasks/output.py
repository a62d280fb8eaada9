"""What stands between ids and a backbone: embeddings, and a distribution over the vocabulary. The full softmax.

An output layer holds choices; its weights are passed in. It is asked for ids and gets ids, whatever order it keeps its
weights in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp

from lmtool.decoding import log_softmax
from lmtool.tasks.softmax import weighted_nll

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from lmtool.array_types import Key

    Weights = Mapping[str, jax.Array]
    Initializer = Callable[..., jax.Array]
    Parameter = tuple[Initializer, tuple[int, ...]]

LOGITS_AT_ONCE = 2**22
"""Logits held at once in evaluation: 16 MiB, which stay in a CPU's cache; with 64 MiB scoring took twice as long."""


class OutputLayer(Protocol):
    """The vocabulary's side of a network: E is the embedding size, V the vocabulary's."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def embedding_size(self) -> int: ...

    def parameters(self) -> dict[str, Parameter]:
        """Name, initializer and shape of each weight; they lie at the top of the network's parameters."""
        ...

    def constants(self) -> dict[str, np.ndarray]:
        """What is stored beside the weights, because it was learnt from the training text without a gradient."""
        ...

    def embed(self, weights: Weights, ids: jax.Array) -> jax.Array:
        """Ids of any shape to float32 [..., E]."""
        ...

    def nll(self, weights: Weights, h: jax.Array, targets: jax.Array, importance: jax.Array, *, key: Key) -> jax.Array:
        """The training loss: targets' negative log-likelihoods, each times its importance, summed; nats.

        Args:
            weights: By name.
            h: [N, E], float32 or bfloat16; its type is that of the products.
            targets: int32 [N].
            importance: float32 [N], constants; 0 at padding.
            key: For layers that draw samples.

        Returns:
            float32 [].
        """
        ...

    def target_log_probs(self, weights: Weights, h: jax.Array, targets: jax.Array) -> jax.Array:
        """Exact log-probability of each target, in nats: float32 [N, E] and int32 [N] to [N]; differentiable."""
        ...

    def log_probs(self, weights: Weights, h: jax.Array) -> jax.Array:
        """The exact distribution over ids, in nats: float32 [N, E] to [N, V]; the exponentials sum to one."""
        ...


@dataclass(frozen=True, eq=False)
class FullSoftmax:
    """Each token has a logit, `h @ embedding.T + bias`; see `OutputLayer`.

    References:
        Press & Wolf, "Using the output embedding to improve language models", 2017 (tied embeddings).
    """

    vocab_size: int
    embedding_size: int
    tied: bool = True

    def parameters(self) -> dict[str, Parameter]:
        shape = (self.vocab_size, self.embedding_size)
        names = ["embedding"] if self.tied else ["embedding", "output_embedding"]
        return {name: (uniform(0.1), shape) for name in names} | {"output_bias": (zeros, shape[:1])}

    def constants(self) -> dict[str, np.ndarray]:
        return {}

    def embed(self, weights: Weights, ids: jax.Array) -> jax.Array:
        return weights["embedding"][ids]

    def output_embedding(self, weights: Weights) -> jax.Array:
        """[V, E]."""
        return weights["embedding" if self.tied else "output_embedding"]

    def nll(self, weights: Weights, h: jax.Array, targets: jax.Array, importance: jax.Array, *, key: Key) -> jax.Array:
        loss: jax.Array = weighted_nll(h, self.output_embedding(weights), weights["output_bias"], targets, importance)
        return loss

    def smoothing(self, weights: Weights, h: jax.Array, targets: jax.Array, importance: jax.Array) -> jax.Array:
        """By how much the logits of targets lie above the mean logit, each times its importance, summed; float32 [].

        ε of it added to `nll` is the cross entropy with targets of which all tokens divide ε evenly: no logit but the
        target's need be known for that, since the mean of all is that of the mean embedding.

        References:
            Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, section 7.
        """
        embedding, bias = self.output_embedding(weights), weights["output_bias"]
        from_mean = embedding[targets] - embedding.mean(axis=0, keepdims=True)
        above = jnp.sum(h.astype(jnp.float32) * from_mean, axis=1) + bias[targets] - bias.mean()
        return jnp.sum(above * importance)

    def target_log_probs(self, weights: Weights, h: jax.Array, targets: jax.Array) -> jax.Array:
        return in_pieces(lambda *rows: chosen_log_probs(self._logits(weights, rows[0]), rows[1]), h, targets,
                         self.vocab_size)  # fmt: skip

    def log_probs(self, weights: Weights, h: jax.Array) -> jax.Array:
        return log_softmax(self._logits(weights, h))

    def _logits(self, weights: Weights, h: jax.Array) -> jax.Array:
        return logits(h, self.output_embedding(weights), weights["output_bias"])


def logits(h: jax.Array, output_embedding: jax.Array, bias: jax.Array) -> jax.Array:
    """[N, E], [V, E] and [V] to [N, V], exact in float32."""
    # TPUs and recent GPUs multiply float32 with fewer bits unless told otherwise.
    with jax.default_matmul_precision("highest"):
        return h @ output_embedding.T + bias[None]


def chosen_log_probs(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Log-probability of each target, in nats: [N, V] and [N] to [N]."""
    chosen = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def in_pieces(
    function: Callable[[jax.Array, jax.Array], jax.Array], h: jax.Array, targets: jax.Array, width: int
) -> jax.Array:
    """`function(h, targets)`, float [N], a few rows at a time.

    Args:
        function: Row by row: makes `width` numbers for each on its way.
        h: [N, E].
        targets: int32 [N].
        width: As many columns as `function` has.
    """
    total = targets.size
    count = -(-total // max(1, LOGITS_AT_ONCE // width))
    size = -(-total // count)  # even pieces: what one lacks is padding, and costs as much as the rest
    padding = -total % size
    rows = jnp.pad(h, ((0, padding), (0, 0))).reshape(-1, size, h.shape[-1])
    wanted = jnp.pad(targets, (0, padding)).reshape(-1, size)
    pieces: jax.Array = jax.lax.map(lambda piece: function(*piece), (rows, wanted))
    return pieces.reshape(-1)[:total]


def uniform(bound: float) -> Initializer:
    """Uniform in ±bound."""

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


zeros: Initializer = jax.nn.initializers.zeros

__all__ = ["FullSoftmax", "OutputLayer", "chosen_log_probs", "in_pieces", "logits", "uniform", "zeros"]
