"""Settings of a mixture and its caches."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lmtool.config import Config


def _positive(value: Any) -> Any:
    """One setting, or several to choose from; all above zero."""
    values = value if isinstance(value, list) else [value]
    if not values or any(one is not None and one <= 0 for one in values):
        raise ValueError("must be more than 0, or a list of such values to choose from")
    return value


Window = Annotated[int | list[int], AfterValidator(_positive)]
Scale = Annotated[float | list[float], AfterValidator(_positive)]


class UnigramCacheConfig(Config):
    """What was said lately is said again: relative frequencies of the last tokens (Kuhn & De Mori 1990)."""

    kind: Literal["unigram"]
    window: Window = Field([500, 1000, 2000], description="tokens that are remembered")
    half_life: Annotated[float | list[float] | None, AfterValidator(_positive)] = Field(
        None, description="a token counts half as much after so many tokens; all alike if left out"
    )


class NeuralCacheConfig(Config):
    """What was said when the network was in a similar state is said again (Grave et al. 2017)."""

    kind: Literal["neural"]
    run: str = Field(description="the neural one of `model.runs` whose hidden states are compared")
    window: Window = Field([500, 2000], description="tokens that are remembered, each with its hidden state")
    theta: Scale = Field(
        [0.1, 0.3, 1.0], description="how much similarity counts: p(w) is in proportion to exp(theta h h')"
    )


MODES = ("linear", "log-linear")

CacheConfig = Annotated[UnigramCacheConfig | NeuralCacheConfig, Field(discriminator="kind")]


class MixtureConfig(Config):
    """A mixture of trained runs of one tokenizer, and of caches that follow the text that is read."""

    RUNS = frozenset({"runs"})

    runs: list[str] = Field(min_length=1, description="run folders, the parts; they are copied into this run")
    mode: Literal["linear", "log-linear"] = Field(
        "linear",
        description="`linear`: probabilities are weighted and added; `log-linear`: their logarithms are, and the sum "
        "over the vocabulary is made one again, which costs a distribution for each token that is scored",
    )
    caches: list[CacheConfig] = Field(
        [],
        description='caches, further parts: `{kind = "unigram"}` with `window` and `half_life` in tokens, '
        '`{kind = "neural", run = RUN}` with `window` and `theta`; of several values the `valid` split chooses',
    )
    weights: list[float] = Field(
        [],
        description="one a part, runs first, summing to one (log-linear: any numbers); tuned on the `valid` split if "
        "left out",
    )
    tuning_tokens: int = Field(
        2000, ge=1, description="`log-linear`: tokens of the `valid` split, evenly spaced, that weights are tuned on"
    )
    batch_size: int = Field(
        1, ge=1, description="contiguous pieces of the `valid` split that are read side by side while tuning"
    )


def candidates(cache: UnigramCacheConfig | NeuralCacheConfig) -> list[UnigramCacheConfig | NeuralCacheConfig]:
    """Caches with one value for each setting: all combinations of those that are given."""
    settings = cache.model_dump()
    values = [value if isinstance(value, list) else [value] for value in settings.values()]
    return [type(cache)(**dict(zip(settings, choice, strict=True))) for choice in product(*values)]
