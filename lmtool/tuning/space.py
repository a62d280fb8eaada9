"""What is searched: settings by their dotted names, and the values that each may have.

    optimizer.learning_rate=1e-4..1e-1:log      a range; `:log` where ratios matter, `:int` for whole numbers
    model.hidden_size=64..512:int:log
    training.batch_size=16,32,64                a choice of TOML values, or of plain words
    optimizer.name=adamw,sgd

The same in a file: a table `[search]` whose values are such texts, or lists of choices. Light: imports no framework.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from lmtool.errors import ConfigError, did_you_mean
from lmtool.raw_config import flat, read_raw, toml_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lmtool.config import RunConfig

DIGITS = 3
"""Of a number drawn from a range: more would pretend to be known."""
DECADE = 10.0
"""The learning rate is searched from a tenth to ten times the config's where nobody says."""
FLAGS = ("log", "int")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both of them included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError saying what is wrong."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("its ends must be finite")
        if not self.low < self.high:
            raise ValueError("its first end must be below the second")
        if self.log and self.low <= 0:
            raise ValueError("`:log` needs ends above 0")
        if self.whole and (self.low % 1 or self.high % 1):
            raise ValueError("`:int` needs whole ends")

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    def rounded(self, value: float) -> float | int:
        """To a whole number, or to `DIGITS` digits, but not beyond the ends."""
        if self.whole:
            return round(value)
        return min(self.high, max(self.low, float(f"{value:.{DIGITS}g}")))

    @property
    def ends(self) -> tuple[Any, Any]:
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def to_json(self) -> str:
        """As `parse_values` reads it."""
        low, high = (f"{one}" if self.whole else f"{one!r}" for one in self.ends)
        return f"{low}..{high}" + (":int" if self.whole else "") + (":log" if self.log else "")


@dataclass(frozen=True)
class Choices:
    """One of several values, as TOML can hold them."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Raises ValueError saying what is wrong."""
        if len(self.values) < 2:
            raise ValueError("one value is no choice; `--set` fixes a setting")
        if any(one == other for place, one in enumerate(self.values) for other in self.values[:place]):
            raise ValueError("a value stands there twice")

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    def to_json(self) -> list[Any]:
        return list(self.values)


Values: TypeAlias = "Range | Choices"
Space: TypeAlias = "dict[str, Values]"
"""By dotted name, in the order in which they were given."""


def parse_space(searches: Iterable[str], file: Path | None = None) -> Space:
    """What `--space FILE` and then `--search KEY=SPEC …` say; a later one replaces an earlier.

    Raises:
        ConfigError: for the first that cannot be read.
    """
    space = {} if file is None else _of_file(file)
    for search in searches:
        key, equals, spec = search.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")) or "." not in key:
            raise ConfigError(f"--search {search}: must look like section.key=LOW..HIGH or section.key=A,B,C")
        space[key.strip()] = _made(partial(parse_values, spec), f"--search {search}")
    return space


def _of_file(file: Path) -> Space:
    raw = read_raw(file)
    table = raw.values.get("search")
    if not isinstance(table, dict) or set(raw.values) != {"search"}:
        raise ConfigError(f"{file}: must hold one table [search], and nothing else")
    return {key: _made(partial(_of_toml, value), f"{file}: {key} = {value!r}") for key, value in flat(table).items()}


def _of_toml(value: Any) -> Values:
    if isinstance(value, list):
        return Choices(tuple(value))
    if not isinstance(value, str):
        raise ValueError("must be a text such as '1e-4..1e-1:log', or a list of choices")
    return parse_values(value)


def _made(make: Callable[[], Values], what: str) -> Values:
    try:
        values: Values = make()
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None
    return values


def parse_values(spec: str) -> Values:
    """A range or a choice from its text. Raises ValueError saying what is wrong.

    >>> parse_values("16..512:int:log")
    Range(low=16.0, high=512.0, log=True, whole=True)
    >>> parse_values("adamw,sgd")
    Choices(values=('adamw', 'sgd'))
    """
    body, *flags = spec.strip().split(":")
    low, dots, high = body.partition("..")
    if dots and (ends := _numbers(low, high)):
        for flag in flags:
            if flag.strip() not in FLAGS:
                raise ValueError(f"no flag '{flag}'{did_you_mean(flag, FLAGS)}; there are :log and :int")
        chosen = {flag.strip() for flag in flags}
        return Range(*ends, log="log" in chosen, whole="int" in chosen)
    if dots and "," not in spec:
        raise ValueError("the ends of a range, LOW..HIGH, must be numbers")
    return Choices(_choices(spec))


def _numbers(*texts: str) -> tuple[float, float] | None:
    try:
        low, high = map(float, texts)
    except ValueError:
        return None
    return low, high


def _choices(spec: str) -> tuple[Any, ...]:
    """A list as TOML has it, without its brackets; words need no quotes."""
    try:
        parsed = tomllib.loads(f"values = [{spec}]")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if list(parsed) == ["values"]:
        return tuple(parsed["values"])
    parts = [part.strip() for part in spec.split(",")]
    if not all(parts):
        raise ValueError("a value is missing; ranges are LOW..HIGH, choices A,B,C")
    return tuple(toml_value(part) for part in parts)


# What can be searched ------------------------------------------------------------------------------------------------


def default_space(config: RunConfig) -> Space:
    """The learning rate, and the batch size of what is trained by batches.

    Raises:
        ConfigError: for a model that has neither.
    """
    space: Space = {}
    for section in ("optimizer", "model"):
        choice = getattr(config, section)
        rate = getattr(choice.config, "learning_rate", None) if choice else None
        if rate:
            space[f"{section}.learning_rate"] = Range(
                float(f"{rate / DECADE:.{DIGITS}g}"), float(f"{rate * DECADE:.{DIGITS}g}"), log=True
            )
            break
    if config.optimizer is not None:
        parts, size = config.training.micro_batches, config.training.batch_size
        sizes = sorted({max(parts, size // 2 // parts * parts), size, 2 * size})
        space["training.batch_size"] = Choices(tuple(sizes))
    if not space:
        raise ConfigError(
            f"model '{config.model.name}' has no learning rate: say what is searched",
            hint="`--search model.KEY=LOW..HIGH`; `lmtool plugins show NAME` lists its settings",
        )
    return space


def check_searchable(space: Space, *, classes: bool) -> None:
    """Raise ConfigError for a setting that changes by what trials are compared, or nothing of them at all.

    Args:
        classes: Whether documents are classified: then tokens are no unit of the loss.
    """
    sections = ["task", "model", "optimizer", "training"] + (["tokenizer"] if classes else [])
    for key in space:
        section = key.partition(".")[0]
        if section == "tokenizer" and not classes:
            raise ConfigError(f"{key} cannot be searched: losses per token of other tokens cannot be compared")
        measures = ("training.monitor", "training.evaluators", "training.trackers", "task.reward")
        if section not in sections or any(key == one or key.startswith(f"{one}.") for one in measures):
            raise ConfigError(f"{key} cannot be searched; settings of {', '.join(sections)} can")
        if key == "training.seed":
            hint = "`lmtool repeat` trains with several seeds and reports their mean"
            raise ConfigError(f"{key} cannot be searched: the luckiest seed is no setting", hint)


__all__ = ["Choices", "Range", "Space", "Values", "check_searchable", "default_space", "parse_space", "parse_values"]
