"""Learning rate over the steps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import jax.numpy as jnp
import optax

if TYPE_CHECKING:
    from lmtool_descent.config import ScheduleConfig


logger = logging.getLogger("lmtool.descent")


def learning_rate(config: ScheduleConfig, total_steps: int) -> optax.Schedule:
    """Steps already taken to learning rate: a linear rise over `warmup_steps`, then the schedule until `total_steps`.

    The first step of a warm-up has η / warmup_steps: with 0 it would be wasted.
    """
    warmup = config.warmup_steps
    if warmup >= total_steps:
        logger.warning(f"optimizer.warmup_steps is {warmup}, and training has {total_steps} steps: it never ends")
    after = _after_warmup(config, max(1, total_steps - warmup))
    if not warmup:
        return after
    first = config.learning_rate / warmup
    rise = optax.linear_schedule(first, config.learning_rate, max(1, warmup - 1))
    return optax.join_schedules([rise, after], [warmup])


def _after_warmup(config: ScheduleConfig, steps: int) -> optax.Schedule:
    peak, end = config.learning_rate, config.learning_rate * config.end_factor
    match config.schedule:
        case "constant":
            return optax.constant_schedule(peak)
        case "cosine":
            return optax.cosine_decay_schedule(peak, steps, alpha=config.end_factor)
        case "linear":
            return optax.linear_schedule(peak, end, steps)
        case "inverse-sqrt":
            # η · sqrt(w / (w + t)) goes on from the warm-up of w steps without a break; w is 1 without one.
            offset = max(1, config.warmup_steps)
            # `join_schedules` asks for negative counts, too, and throws the answer away.
            return lambda count: peak * jnp.sqrt(offset / (offset + jnp.maximum(count, 0)))
