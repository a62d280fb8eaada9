"""Learning rate over the steps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import jax.numpy as jnp
import optax

if TYPE_CHECKING:
    from lmtool.settings import ScheduleConfig


logger = logging.getLogger("lmtool.training")


def learning_rate(config: ScheduleConfig, total_steps: int) -> optax.Schedule:
    """Steps already taken to learning rate: a linear rise over `warmup_steps`, then the schedule to `total_steps`."""
    after = _after_warmup(config, max(1, total_steps - config.warmup_steps))
    return with_warmup(after, config.learning_rate, config.warmup_steps, total_steps)


def with_warmup(after: optax.Schedule, peak: float, steps: int, total_steps: int) -> optax.Schedule:
    """A linear rise to `peak` over so many steps, and then `after`.

    The first step has peak / steps: with 0 it would be wasted.
    """
    if steps >= total_steps:
        logger.warning(f"optimizer.warmup_steps is {steps}, and training has {total_steps} steps: it never ends")
    if not steps:
        return after
    rise = optax.linear_schedule(peak / steps, peak, max(1, steps - 1))
    return optax.join_schedules([rise, after], [steps])


def _after_warmup(config: ScheduleConfig, steps: int) -> optax.Schedule:
    """
    References:
        Hu et al., "MiniCPM: unveiling the potential of small language models with scalable training strategies", 2024;
        Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations", 2024 (wsd).
        Vaswani et al., "Attention is all you need", 2017 (inverse-sqrt).
    """
    peak, end = config.learning_rate, config.learning_rate * config.end_factor
    match config.schedule:
        case "constant" | "plateau":  # what a plateau takes off is known after validations only
            return optax.constant_schedule(peak)
        case "wsd":
            decay = min(steps, max(1, round(config.decay_share * (config.warmup_steps + steps))))
            return optax.linear_schedule(peak, end, decay, transition_begin=steps - decay)
        case "cosine":
            return optax.cosine_decay_schedule(peak, steps, alpha=config.end_factor)
        case "linear":
            return optax.linear_schedule(peak, end, steps)
        case "inverse-sqrt":
            # η · sqrt(w / (w + t)) goes on from the warm-up of w steps without a break; w is 1 without one.
            offset = max(1, config.warmup_steps)
            # `join_schedules` asks for negative counts, too, and throws the answer away.
            return lambda count: peak * jnp.sqrt(offset / (offset + jnp.maximum(count, 0)))


__all__ = ["learning_rate", "with_warmup"]
