"""Stochastic gradient descent whose weights are averaged once it no longer gets anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lmtool.training.state import optax_promotion
from lmtool_descent.optimizers import sgd_updates

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.array_types import Key
    from lmtool_descent.config import ASGDConfig


class ASGDState(NamedTuple):
    """Arrays only, of constant form: a checkpoint holds all there is to know."""

    descent: Any
    step: jax.Array
    """int32 [], steps taken."""
    average: Any
    """Like the parameters; means nothing before the first weights are counted."""
    num_averaged: jax.Array
    """int32 [], weights in the average; 0 before the trigger."""
    triggered: jax.Array
    """bool []."""
    recent: jax.Array
    """float32 [nonmono], the last validations' figures, the oldest first; infinite where there were none."""
    best_before: jax.Array
    """float32 [], the lowest figure of the validations before those."""


class ASGD:
    """θ ← θ − η∇L, and the mean of all θ since averaging was triggered as the weights to evaluate.

    The trigger fires at the validation whose loss is above the lowest of those more than `nonmono` validations ago.
    The average begins with the weights of that moment. Steps go on from the last weights, not from the average.

    References:
        Merity, Keskar & Socher, "Regularizing and optimizing LSTM language models", 2018, section 3 and algorithm 1.
        Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    rescales = True
    """`update` takes `rescale`, so that the average is that of the weights as they really move."""

    def __init__(self, config: ASGDConfig, *, total_steps: int, num_data: int) -> None:
        self.config = config
        self._descend, self.schedule = sgd_updates(config, total_steps)

    def init(self, params: Any) -> ASGDState:
        return ASGDState(
            descent=self._descend.init(params),
            step=jnp.zeros((), jnp.int32),
            average=jax.tree.map(jnp.zeros_like, params),
            num_averaged=jnp.zeros((), jnp.int32),
            triggered=jnp.zeros((), bool),
            recent=jnp.full((self.config.nonmono,), jnp.inf, jnp.float32),
            best_before=jnp.full((), jnp.inf, jnp.float32),
        )

    def update(
        self,
        updates: Any,
        state: ASGDState,
        params: Any = None,
        *,
        rescale: Callable[[Any], Any] = lambda updates: updates,
        **extra: Any,
    ) -> tuple[Any, ASGDState]:
        with optax_promotion():
            updates, descent = self._descend.update(updates, state.descent, params)
        updates = rescale(updates)
        triggered = self._is_triggered(state)
        first = state.num_averaged == 0
        # The weights before the first step count, too; later they do already.
        count = jnp.maximum(state.num_averaged, 1) + 1
        share = 1 / count.astype(jnp.float32)

        def mean(old: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
            base = jnp.where(first, before, old)
            return jnp.where(triggered, base + share * (after - base), old)

        average = jax.tree.map(mean, state.average, params, optax.apply_updates(params, updates))
        return updates, state._replace(
            descent=descent,
            step=state.step + 1,
            average=average,
            num_averaged=jnp.where(triggered, count, 0),
            triggered=triggered,
        )

    def sample_params(self, params: Any, state: ASGDState, *, key: Key) -> Any:
        return params

    def eval_params(self, params: Any, state: ASGDState) -> Any:
        return jax.tree.map(lambda mean, last: jnp.where(state.num_averaged > 0, mean, last), state.average, params)

    def observe(self, state: ASGDState, value: float) -> ASGDState:
        """A validation's figure, the lower the better: the trigger fires if it is above that of long ago."""
        figure = jnp.asarray(value, jnp.float32)
        fires = figure > state.best_before
        return state._replace(
            triggered=state.triggered | (fires if self.config.average_from is None else False),
            recent=jnp.append(state.recent[1:], figure),
            best_before=jnp.minimum(state.best_before, state.recent[0]),
        )

    def _is_triggered(self, state: ASGDState) -> jax.Array:
        if self.config.average_from is None:
            return state.triggered
        return state.triggered | (state.step >= self.config.average_from)
