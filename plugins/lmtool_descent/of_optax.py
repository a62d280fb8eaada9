"""Any transformation of optax by name: `optimizer.name = "optax:novograd"`, its arguments as settings.

Functions of `optax` and `optax.contrib` are called, nothing else, and with numbers, words and truth values alone.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import Field, create_model

from lmtool.config import Config
from lmtool.errors import ConfigError, PluginError, did_you_mean
from lmtool.jax_setup import silent_config
from lmtool.settings import ScheduleConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.training.state import DeterministicOptimizer

_A_VALUE = "is given the value of the loss at each step"
_A_FUNCTION = "is given the loss as a function at each step"
_EXAMPLES = "is given a gradient for each example"
_KEY = "keeps a random key, which no checkpoint holds: `noise` of `training.step` adds noise to gradients"
_MEAN = "evaluates other weights than it trains: `schedule-free` does that"
UNFIT = {
    "add_noise": _KEY,
    "differentially_private_aggregate": _EXAMPLES,
    "dpsgd": _EXAMPLES,
    "keep_params_nonnegative": "is no optimizer by itself",
    "lbfgs": _A_FUNCTION,
    "momo": _A_VALUE,
    "momo_adam": _A_VALUE,
    "noisy_sgd": _KEY,
    "optimistic_adam": "is deprecated in favour of `optimistic_adam_v2`",
    "polyak_sgd": _A_VALUE,
    "reduce_on_plateau": f'{_A_VALUE}; `optimizer.schedule = "plateau"` waits for validations',
    "scale_by_backtracking_linesearch": _A_FUNCTION,
    "scale_by_cocob": "is a part of `cocob`",
    "scale_by_muon": "is a part of `muon`",
    "scale_by_rprop": "is a part of `rprop`",
    "set_to_zero": "learns nothing",
    "scale_by_polyak": _A_VALUE,
    "scale_by_zoom_linesearch": _A_FUNCTION,
    "schedule_free_adamw": _MEAN,
    "schedule_free_sgd": _MEAN,
    "sophia": _A_FUNCTION,
}
"""What cannot be used although a config can say its arguments, and why."""

LISTED = "`lmtool plugins show optax` lists what can be used"

MASKS = ("mask", "weight_decay_mask")
"""Arguments that say which parameters decay."""


class Transformation(Config):
    """Base of the settings of a transformation; `ScheduleConfig` is another one where the learning rate may change."""

    MEMBER: ClassVar[str] = ""
    """The function's name."""


class OptaxFamily:
    """Functions that return a transformation, and take nothing that a config cannot say; see `lmtool.api.Family`."""

    def members(self) -> list[str]:
        """Their names, sorted."""
        return sorted(name for name, function in _functions().items() if not _hindrance(name, function))

    def config_class(self, member: str) -> type[Config]:
        """The arguments as settings, the learning rate with its schedule.

        Raises:
            PluginError: if optax has no such function, or it cannot be used.
        """
        return _config_class(member)


OPTAX = OptaxFamily()


def transformation(config: Transformation, *, total_steps: int, num_data: int) -> DeterministicOptimizer:
    """The transformation that a config names; one without a learning rate is multiplied by it afterwards.

    Raises:
        ConfigError: if optax refuses the arguments.
    """
    import optax

    from lmtool.training.schedules import learning_rate
    from lmtool.training.state import DeterministicOptimizer
    from lmtool_descent.decay import decay_mask

    name, function = config.MEMBER, _functions()[config.MEMBER]
    parameters = inspect.signature(function).parameters
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config
        if key in parameters and value is not None
    }
    schedule: Callable[[Any], Any] | None = None
    if isinstance(config, ScheduleConfig):
        schedule = learning_rate(config, total_steps)
        if "learning_rate" in parameters:
            arguments["learning_rate"] = schedule
    for key in set(MASKS) & set(parameters):
        arguments[key] = lambda params: decay_mask(params, getattr(config, "no_decay", ()))
    try:
        made = function(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer: optax.{name} refuses its arguments: {' '.join(str(error).split())}") from None
    if "learning_rate" not in parameters:
        made = optax.chain(made, optax.scale_by_learning_rate(schedule))
    return DeterministicOptimizer(made, schedule)


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    """All of optax that return a transformation."""
    silent_config()  # optax imports JAX
    import optax
    import optax.contrib

    found = {name: getattr(module, name) for module in (optax.contrib, optax) for name in dir(module)}
    return {
        name: function
        for name, function in found.items()
        if not name.startswith("_") and inspect.isfunction(function) and _makes_transformation(function)
    }


def _makes_transformation(function: Callable[..., Any]) -> bool:
    returned = inspect.signature(function).return_annotation
    return str(getattr(returned, "__name__", returned)).rpartition(".")[2].startswith("GradientTransformation")


def _hindrance(name: str, function: Callable[..., Any]) -> str | None:
    """Why it cannot be used; None if it can."""
    if name in UNFIT:
        return UNFIT[name]
    for parameter in inspect.signature(function).parameters.values():
        is_needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if is_needed and _type_of(parameter) is None:
            return f"takes `{parameter.name}`, which a config cannot say"
    return None


@cache
def _config_class(member: str) -> type[Config]:
    if (function := _functions().get(member)) is None:
        near = did_you_mean(member, OPTAX.members())
        raise PluginError(f"optax has no transformation '{member}'{near}", hint=LISTED)
    if reason := _hindrance(member, function):
        raise PluginError(f"optax:{member} cannot be used: it {reason}", hint=LISTED)
    parameters = inspect.signature(function).parameters
    described = _described(function)
    fields: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if (type_ := _type_of(parameter)) is not None:
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            about = Field(
                default=... if default is parameter.empty else default,
                description=described.get(name, f"as in optax.{member}"),
            )
            fields[name] = (type_, about)
    bases: Any = (Transformation,)
    rate = parameters.get("learning_rate")
    if rate is None or any(get_origin(part) is Callable for part in _parts(rate.annotation)):
        bases = (Transformation, ScheduleConfig)
        given = rate.default if rate is not None and isinstance(rate.default, int | float) else ...
        fields["learning_rate"] = (float, Field(given, gt=0, description="η, at its highest"))
    if set(MASKS) & set(parameters):
        about = "parameters besides biases and norms that weight decay leaves alone: embedding, …"
        fields["no_decay"] = (list[str], Field([], description=about))
    first = (inspect.getdoc(function) or "").partition("\n")[0]
    doc = f'`[optimizer] name = "optax:{member}"`. {first}'
    made: type[Transformation] = create_model(f"Optax_{member}", __base__=bases, __doc__=doc, **fields)
    made.MEMBER = member
    return made


_SCALARS = {"float", "Array", "ndarray", "number", "complex", "int", "bool", "floating", "bool_", "Numeric", "Scalar"}


def _type_of(parameter: inspect.Parameter) -> Any:
    """What a config may give for an argument; None if that is no number, word, truth value or list of numbers."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return None
    if parameter.name == "key":  # of JAX, or the number that it comes from
        return int | None
    parts = [part for part in _parts(parameter.annotation) if get_origin(part) is not Callable]
    names = {getattr(part, "__name__", str(part)).rpartition(".")[2] for part in parts} - {"NoneType"}
    default = parameter.default
    is_plain = default is parameter.empty or default is None or isinstance(default, int | float | str)
    found: Any
    if literal := [part for part in parts if get_origin(part) is Literal]:
        found = literal[0]
    elif isinstance(default, tuple) and all(isinstance(one, int | float) for one in default):
        found = Annotated[list[float], Field(min_length=len(default), max_length=len(default))]
    elif not names or not names <= _SCALARS | {"str", "tuple"} or not is_plain:
        return None
    elif isinstance(default, bool) or names == {"bool"}:
        found = bool
    elif isinstance(default, str) or names == {"str"}:
        found = str
    elif isinstance(default, int) or not names & (_SCALARS - {"int", "bool"}):
        found = int
    else:
        found = float
    return found | None if default is None or NoneType in parts else found


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union, of unions in it, too."""
    if get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _parts(one)
    else:
        yield annotation


def _described(function: Callable[..., Any]) -> dict[str, str]:
    """Arguments to the first sentences of what a docstring says of them."""
    _, _, rest = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    found: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break
        if begins := re.fullmatch(r" {2,4}(\w+): *(.*)", line):
            name = begins[1]
            found[name] = begins[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {name: re.split(r"\.( |$)", text, maxsplit=1)[0] for name, text in found.items() if text}
