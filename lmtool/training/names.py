"""Parameters by the beginnings of their names, as settings say them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

from lmtool.errors import ConfigError, did_you_mean
from lmtool.tasks.depths import path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def named(params: Any, names: Iterable[str], key: str) -> Any:
    """A pytree of bools like `params`: True for what one of the names says.

    A name is the beginning of a dotted path: `embedding` is the embedding in all its parts, `backbone.layer_0` the
    lowest layer, `backbone` the whole of it.

    Args:
        params: A pytree of arrays or their shapes.
        names: From the config.
        key: The setting's dotted path, for messages.

    Raises:
        ConfigError: if a name says no parameter.
    """
    names = list(names)
    _check_names(params, names, key)
    return jax.tree.map_with_path(lambda path, _: any(_belongs(path_of(path), name) for name in names), params)


def factors_of(params: Any, factors: Mapping[str, float], key: str) -> Any:
    """A pytree of floats like `params`: the factor of the longest name that says a parameter; 1 where none does.

    Args and errors are those of `named`.
    """
    _check_names(params, factors, key)

    def of_leaf(path: Any, _: Any) -> float:
        belongs = [name for name in factors if _belongs(path_of(path), name)]
        return factors[max(belongs, key=len)] if belongs else 1.0

    return jax.tree.map_with_path(of_leaf, params)


def _check_names(params: Any, names: Iterable[str], key: str) -> None:
    """Raise ConfigError for the first name that says no parameter."""
    paths = [path_of(path) for path, _ in jax.tree.leaves_with_path(params)]
    for name in names:
        if not any(_belongs(path, name) for path in paths):
            known = sorted({path[0] for path in paths} | {".".join(path[:2]) for path in paths})
            groups = ", ".join(sorted({path[0] for path in paths}))
            raise ConfigError(f"{key}: no parameters '{name}'{did_you_mean(name, known)}; there are {groups}")


def _belongs(path: Sequence[str], name: str) -> bool:
    dotted = ".".join(path)
    return dotted == name or dotted.startswith((f"{name}.", f"{name}_"))


__all__ = ["factors_of", "named"]
