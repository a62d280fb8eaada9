"""The learning-rate range test: a short training whose rate grows until the loss does.

loss                       The steepest place is where steps gain most; a tenth of the rate at the lowest place
 │‾‾‾‾‾\\           /       keeps clear of where they gain nothing any more.
 │      \\         /
 │       \\___.___/
 └──────────────── rate, logarithmic
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.devices import DeviceOptions
from lmtool.errors import ConfigError, DivergedError
from lmtool.training.learner import make_learner
from lmtool.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import jax

    from lmtool.config import Choice, RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry
    from lmtool.training.parts import Report

STEPS = 140
"""Of a test that goes to its end."""
BELOW, ABOVE = 1e-4, 1e3
"""The rates at which a test begins and ends, as parts of the config's."""
SMOOTHING = 0.9
"""β of the moving average of losses."""
TOO_HIGH = 4.0
"""The test ends where the smoothed loss is so many times the lowest one."""
SLOPE_OVER = 10
"""Steps on either side from which a slope is taken: the losses of single batches differ too much."""
RULES = {
    "steepest": "where the smoothed loss falls fastest",
    "tenth": "a tenth of the rate at which it is lowest",
}


@dataclass(frozen=True)
class RangeTest:
    """What a test found; one entry a step that was taken."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Of the batch of each step before it, nats per target."""
    smoothed: tuple[float, ...]
    """Their bias-corrected moving averages."""
    ended_early: bool
    """Whether the loss grew too much before the highest rate was reached."""
    steepest: float
    """The rate where the smoothed loss falls fastest over its logarithm."""
    lowest: float
    """The rate where the smoothed loss is lowest."""

    @property
    def tenth(self) -> float:
        return self.lowest / 10

    @property
    def top(self) -> float:
        """A loss to end charts at: how far it shoots up at the end tells nothing."""
        first, least = self.smoothed[0], min(self.smoothed)
        return first + 0.5 * (first - least)

    @property
    def rule(self) -> str:
        """Of `RULES`: the one that gives the lower rate."""
        return "steepest" if self.steepest <= self.tenth else "tenth"

    @property
    def suggestion(self) -> float:
        """The rate by that rule, to two digits: the test is not more exact."""
        return float(f"{min(self.steepest, self.tenth):.2g}")


@dataclass(frozen=True)
class Growth:
    """Scales updates made at the rate `base` to those at a rate that grows by the same factor each step."""

    base: float
    rates: Sequence[float]

    def rescale(self, updates: Any, step: jax.Array) -> Any:
        import jax
        import jax.numpy as jnp

        factor = jnp.asarray(np.asarray(self.rates, np.float64) / self.base, jnp.float32)[step]
        return jax.tree.map(lambda update: update * factor.astype(update.dtype), updates)

    def sampled(self, sampled: Any, params: Any, step: jax.Array) -> Any:
        return sampled


def range_test(
    config: RunConfig,
    dataset: Dataset,
    registry: Registry,
    *,
    bounds: tuple[float, float] | None = None,
    steps: int = STEPS,
    devices: DeviceOptions | None = None,
    report: Report = lambda phase, fraction, **fields: None,
    warn: Callable[[str], None] = lambda message: None,
) -> RangeTest:
    """Train from fresh weights, at a rate that grows geometrically; nothing is written.

    Batches, task, optimizer and step are those that the config's training begins with, but without a schedule. The
    optimizer works at the config's rate and its updates are scaled, which is the same thing for every optimizer whose
    updates are the rate times something that does not depend on it.

    Args:
        config: Of a model that takes steps.
        dataset: Whose `train` split is learned from, over again if it has fewer steps.
        registry: Where components are looked up.
        bounds: The lowest and the highest rate; from `BELOW` to `ABOVE` times the config's if left out.
        steps: Taken at most.
        devices: Which share the work; all of this machine's if left out.
        report: Told how far it is.
        warn: Told what may be wrong.

    Raises:
        ConfigError: if the model takes no steps, or its optimizer has no learning rate.
        DivergedError: if the loss falls at no rate.

    References:
        Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.
    """
    optimizer = constant_rate(config)
    base = float(optimizer.config.learning_rate)  # type: ignore[attr-defined]
    low, high = bounds or (base * BELOW, base * ABOVE)
    rates = [low * (high / low) ** (step / (steps - 1)) for step in range(steps)]
    training = config.training.model_copy(update={"steps_per_dispatch": 1, "max_steps": None})
    learner = make_learner(
        replace(config, optimizer=optimizer, training=training),
        dataset,
        registry,
        warn,
        devices=devices or DeviceOptions(),
        processes=Processes(),
        scaling=Growth(base, rates),
    )
    placement, task = learner.placement, learner.task
    state = placement.place_state(learner.initial_state())
    fixed = learner.fixed(state.params)
    losses: list[float] = []
    average = _Average()
    for step, rate in enumerate(rates):
        report("testing rates", step / steps, rate=f"{rate:.1e}", loss=f"{average.value:.3f}")
        if step % task.steps_per_epoch == 0:
            state = state._replace(carry=learner.new_carry())
        batch = {**placement.place_batch(task.batch(step), stacked=False), **fixed}
        with placement.ambient():
            state, metrics = learner.step(state, batch)
        loss = float(metrics.loss)
        if not math.isfinite(loss) or average.add(loss) > TOO_HIGH * average.lowest:
            break
        losses.append(loss)
    return judged(rates[: len(losses)], losses, ended_early=len(losses) < steps)


def constant_rate(config: RunConfig) -> Choice:
    """A config's optimizer without its schedule.

    Raises:
        ConfigError: if there is none, or it has no learning rate.
    """
    optimizer = config.optimizer
    if optimizer is None:
        raise ConfigError(f"model '{config.model.name}' takes no steps, so it has no learning rate to find")
    fields = type(optimizer.config).model_fields
    if "learning_rate" not in fields:
        raise ConfigError(f"optimizer '{optimizer.name}' has no setting `learning_rate` that could be tested")
    flat = {name: value for name, value in {"schedule": "constant", "warmup_steps": 0}.items() if name in fields}
    return replace(optimizer, config=optimizer.config.model_copy(update=flat))


class _Average:
    """An exponential moving average whose weights sum to 1 from the first value on."""

    def __init__(self) -> None:
        self._sum, self._weight = 0.0, 0.0
        self.lowest = math.inf

    @property
    def value(self) -> float:
        return self._sum / self._weight if self._weight else math.nan

    def add(self, value: float) -> float:
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * value
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        self.lowest = min(self.lowest, self.value)
        return self.value


def judged(rates: Sequence[float], losses: Sequence[float], *, ended_early: bool) -> RangeTest:
    """What the losses at growing rates say.

    Raises:
        DivergedError: if they fall nowhere.
    """
    average = _Average()
    smoothed = [average.add(loss) for loss in losses]
    hint = "`--lr-range LOW..HIGH` tests other rates"
    if len(losses) < 3:
        raise DivergedError(f"the loss grows at once at a learning rate of {rates[0] if rates else 0:.2g}", hint)
    slopes = _slopes(np.log(np.asarray(rates)), np.asarray(smoothed))
    lowest = int(np.argmin(smoothed))
    steepest = int(np.argmin(slopes[: lowest + 1]))
    if slopes[steepest] >= -1e-9 * max(map(abs, smoothed)):  # averages of equal losses differ by rounding
        raise DivergedError(f"the loss falls at no learning rate from {rates[0]:.2g} to {rates[-1]:.2g}", hint)
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), ended_early, rates[steepest], rates[lowest])


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the least-squares line through each point and its neighbours."""
    slopes = np.empty(len(x))
    for place in range(len(x)):
        near = slice(max(0, place - SLOPE_OVER), place + SLOPE_OVER + 1)
        centred = x[near] - x[near].mean()
        slopes[place] = centred @ y[near] / (centred @ centred)
    return slopes


__all__ = ["RULES", "STEPS", "Growth", "RangeTest", "constant_rate", "judged", "range_test"]
