"""Settings of dynamic evaluation."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lmtool.config import Config


def _not_negative(value: Any) -> Any:
    """One setting, or several to choose from; none below zero."""
    if value is not None and (value == [] or min(value if isinstance(value, list) else [value]) < 0):
        raise ValueError("must be 0 or more, or a list of such values to choose from")
    return value


Choice = Annotated[float | list[float] | None, AfterValidator(_not_negative)]

LEARNING_RATES = {"rms": [5e-5, 1e-4, 2e-4], "sgd": [0.1, 0.3, 1.0]}
DECAYS = {"rms": [0.0, 0.003], "sgd": [0.0, 0.003]}


class DynamicConfig(Config):
    """A trained run whose weights follow the text: after each segment they take a step down its gradient."""

    RUNS = frozenset({"run"})

    run: str = Field(description="a neural run's folder; it is copied into this run")
    update: Literal["rms", "sgd"] = Field(
        "rms",
        description="`rms`: each weight's gradient is divided by its root mean square over training text; `sgd`: it is "
        "taken as it is",
    )
    segment: int = Field(70, ge=1, description="tokens that are predicted before the weights take a step")
    learning_rate: Choice = Field(
        None,
        description="the size of a step; of several values, or of a few sensible ones if left out, the `valid` split "
        "chooses",
    )
    decay: Choice = Field(
        None,
        description="the share of their way back to the trained weights that weights go with each step; of several "
        "values, or of a few sensible ones if left out, the `valid` split chooses",
    )
    epsilon: float = Field(
        0.3, gt=0, description="`rms`: is added to each root mean square, in units of the mean of all of them"
    )
    statistics_tokens: int = Field(
        20_000, ge=1, description="`rms`: tokens of the training text, from its start, for the root mean squares"
    )
    tuning_tokens: int = Field(
        5_000, ge=1, description="tokens of the `valid` split, from its start, on which each pair of values is tried"
    )


def candidates(config: DynamicConfig) -> list[tuple[float, float]]:
    """Every pair of learning rate and decay that the config leaves open; one pair if it leaves none."""
    return list(
        product(
            _values(config.learning_rate, LEARNING_RATES[config.update]), _values(config.decay, DECAYS[config.update])
        )
    )


def _values(setting: float | list[float] | None, otherwise: list[float]) -> list[float]:
    if setting is None:
        return otherwise
    return setting if isinstance(setting, list) else [setting]
