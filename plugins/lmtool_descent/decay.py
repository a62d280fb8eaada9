"""Which parameters weight decay shrinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import optax

from lmtool.training.names import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool_descent.config import DecayConfig, ScheduleFreeConfig


def decayed(config: DecayConfig | ScheduleFreeConfig) -> optax.GradientTransformation:
    """The transformation that adds λθ to updates."""
    if not config.weight_decay:
        return optax.identity()
    return optax.add_decayed_weights(config.weight_decay, lambda params: decay_mask(params, config.no_decay))


def decay_mask(params: Any, names: Sequence[str] = ()) -> Any:
    """A pytree of bools like `params`: True for matrices, and arrays of more axes, that none of the names says.

    Raises:
        ConfigError: if a name says no parameter.
    """
    spared = named(params, names, "optimizer.no_decay")
    return jax.tree.map(lambda array, spared: array.ndim > 1 and not spared, params, spared)
