"""Steps without a schedule, and the weighted mean of all weights in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lmtool.training.schedules import with_warmup
from lmtool.training.state import optax_promotion
from lmtool_descent.decay import decayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.array_types import Key
    from lmtool_descent.config import ScheduleFreeConfig


class ScheduleFreeState(NamedTuple):
    """Arrays only, of constant form."""

    state: Any
    """Of what takes the steps."""
    last: Any
    """z, like the parameters: the last weights."""
    step: jax.Array
    """int32 [], steps taken."""
    weight: jax.Array
    """float32 [], the sum of what all weights count in the mean."""


class ScheduleFree:
    """z ← z − η u(y), x ← (1 − c) x + c z, y ← β x + (1 − β) z, where u(y) comes from the gradient at y.

    The parameters that training sees are y; those to evaluate, the mean x, follow from y and z. A step counts in the
    mean with the square of its learning rate: c is that over the sum of all. It is what `optax.contrib.schedule_free`
    does, in a form in which weights that do not move are not moved by rounding either, and which scales layers before
    it averages.

    References:
        Defazio et al., "The road less scheduled", 2024, section 4 and algorithm 1.
    """

    rescales = True
    """`update` takes `rescale`, so that the mean is that of the weights as they really move."""

    def __init__(self, config: ScheduleFreeConfig, *, total_steps: int, num_data: int) -> None:
        self.config = config
        peak = config.learning_rate
        self.schedule = with_warmup(optax.constant_schedule(peak), peak, config.warmup_steps, total_steps)
        # Adam's β1 would be a second momentum beside β.
        scale = optax.scale_by_rms(config.b2, config.eps, eps_in_sqrt=False, bias_correction=True)
        parts = [scale] if config.base == "adamw" else []
        self._descend = optax.chain(*parts, decayed(config), optax.scale_by_learning_rate(self.schedule))

    def init(self, params: Any) -> ScheduleFreeState:
        return ScheduleFreeState(
            state=self._descend.init(params),
            last=params,
            step=jnp.zeros((), jnp.int32),
            weight=jnp.zeros((), jnp.float32),
        )

    def update(
        self,
        updates: Any,
        state: ScheduleFreeState,
        params: Any = None,
        *,
        rescale: Callable[[Any], Any] = lambda updates: updates,
        **extra: Any,
    ) -> tuple[Any, ScheduleFreeState]:
        with optax_promotion():
            updates, inner = self._descend.update(updates, state.state, params)
            square = jnp.asarray(self.schedule(state.step), jnp.float32) ** 2
        last = optax.apply_updates(state.last, rescale(updates))
        weight = state.weight + square
        share, b1 = square / weight, self.config.b1

        def moved(y: jax.Array, x: jax.Array, z: jax.Array) -> jax.Array:
            x = x + share.astype(x.dtype) * (z - x)
            return z + b1 * (x - z) - y

        updates = jax.tree.map(moved, params, self.eval_params(params, state), last)
        return updates, ScheduleFreeState(inner, last, state.step + 1, weight)

    def sample_params(self, params: Any, state: ScheduleFreeState, *, key: Key) -> Any:
        return params

    def eval_params(self, params: Any, state: ScheduleFreeState) -> Any:
        """The mean x."""
        return jax.tree.map(lambda y, z: z + (y - z) / self.config.b1, params, state.last)
