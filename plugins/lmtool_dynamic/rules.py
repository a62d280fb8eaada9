"""How weights follow a text: the rule of dynamic evaluation, compiled with the network's gradient.

References:
    Krause, Kahembwe, Murray & Renals, "Dynamic evaluation of neural sequence models", 2018.
    Mikolov et al., "Recurrent neural network based language model", 2010 (the plain form).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmtool.api import AdaptableModel


class Rule(NamedTuple):
    """The sizes of a step."""

    learning_rate: float
    decay: float
    """The share of their way back to the trained weights that weights go; 0 to 1."""


class Scales(NamedTuple):
    """What each weight's gradient and decay are multiplied by; pytrees like the parameters."""

    gradient: Any
    decay: Any


class Learner:
    """Takes steps: `w - learning_rate * g * scale + decay * (trained - w) * scale'`, after each segment.

    Args:
        model: Whose `params` are the trained weights.
        scales: From `rms_scales`; None for 1, plain gradient descent.
    """

    def __init__(self, model: AdaptableModel, scales: Scales | None) -> None:
        self.model, self.scales = model, scales
        # The weights are as large as the model: each step writes into those of the step before.
        self._step = jax.jit(self._follow, donate_argnames="params")

    def step(self, rule: Rule, params: Any, ids: np.ndarray, state: Any) -> tuple[jax.Array, Any, Any]:
        """Read one segment and learn from it.

        Args:
            rule: Its sizes.
            params: The weights so far; used up.
            ids: int32 [1, T]; each T is compiled anew.
            state: The model's before the segment.

        Returns:
            The segment's log-probabilities under `params`, float32 [1, T], the new weights, and the state after it.
        """
        sizes = np.asarray(rule, np.float32)
        read: tuple[jax.Array, Any, Any] = self._step(params, self.model.params, self.scales, sizes, ids, state)
        return read

    def _follow(
        self, params: Any, trained: Any, scales: Scales | None, sizes: jax.Array, ids: jax.Array, state: Any
    ) -> tuple[jax.Array, Any, Any]:
        log_probs, gradient, state = self.model.score_and_gradient(params, ids, state)
        learning_rate, decay = sizes

        def follow(w: Any, start: Any, g: Any, *scale: Any) -> Any:
            of_gradient, of_decay = scale or (jnp.float32(1), jnp.float32(1))
            # more than the whole way back would overshoot
            back = jnp.minimum(decay * of_decay, 1)
            return w - learning_rate * g * of_gradient + back * (start - w)

        return log_probs, jax.tree.map(follow, params, trained, gradient, *(scales or ())), state


def copy(params: Any) -> Any:
    """Weights that a step may use up."""
    return jax.tree.map(jnp.copy, params)


def root_mean_squares(model: AdaptableModel, segments: Iterable[np.ndarray]) -> Any:
    """Of the gradient of each weight, over segments of text that are read one after another.

    Args:
        model: Stays as it is.
        segments: int32 [1, T] each, at least one.

    Returns:
        A pytree like its parameters.
    """

    def add(sums: Any, params: Any, ids: jax.Array, state: Any) -> tuple[Any, Any]:
        _, gradient, state = model.score_and_gradient(params, ids, state)
        return jax.tree.map(lambda total, g: total + g * g, sums, gradient), state

    add = jax.jit(add, donate_argnames="sums")
    sums, state, count = jax.tree.map(jnp.zeros_like, model.params), model.initial_state(1), 0
    for ids in segments:
        sums, state = add(sums, model.params, ids, state)
        count += 1
    return jax.tree.map(lambda total: jnp.sqrt(total / np.float32(count)), sums)


def rms_scales(rms: Any, epsilon: float) -> Scales:
    """Gradients are divided by the RMS; decay is in proportion to it, 1 on the average (Krause et al. 2018, section 4).

    Args:
        rms: From `root_mean_squares`.
        epsilon: Added to the RMS, in units of its mean over all weights.
    """
    leaves = jax.tree.leaves(rms)
    total = sum(float(leaf.sum(dtype=jnp.float32)) for leaf in leaves)
    mean = max(total / sum(leaf.size for leaf in leaves), np.finfo(np.float32).tiny)
    return Scales(
        gradient=jax.tree.map(lambda leaf: 1 / (leaf + np.float32(epsilon * mean)), rms),
        decay=jax.tree.map(lambda leaf: leaf / np.float32(mean), rms),
    )
