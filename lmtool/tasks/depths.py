"""How deep each parameter lies: what layer-wise learning rates, unfreezing and freezing go by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from collections.abc import Collection

_LAYER = re.compile(r"(?!kernel|bias|scale).*?(\d+)")
"""A number behind what every layer has, as in `kernel_0`, tells parts of one layer apart."""


def param_depths(params: Any, *, bottom: Collection[str] = ("embedding",), backbone: str = "backbone") -> Any:
    """A pytree like `params` of depths: 0 for the embedding, then the layers of the backbone, most for all the rest.

    A layer of the backbone is known by the first number in the first part of a path inside it: `layer_1_bias` and
    `layer_1/kernel` are of one layer. What has no number there (a projection of the inputs) counts with the lowest.

    Args:
        params: `{"params": {name: …}}`, as Flax has it.
        bottom: Names next to `backbone` that lie at its input.
        backbone: The name of the backbone.

    References:
        Howard & Ruder, "Universal language model fine-tuning for text classification", 2018 (the groups).
    """
    numbers = {_number(path) for path, _ in jax.tree.leaves_with_path(params) if path_of(path)[:1] == [backbone]}
    layers = sorted(number for number in numbers if number is not None)
    top = 1 + max(len(layers), len(numbers) > 0)

    def depth(path: Any, leaf: Any) -> int:
        name = path_of(path)[0]
        if name == backbone:
            number = _number(path)
            return 1 if number is None else 1 + layers.index(number)
        return 0 if name in bottom else top

    return jax.tree.map_with_path(depth, params)


def path_of(path: Any) -> list[str]:
    """The names on the way to a leaf, without the collection `params`."""
    names = [str(getattr(key, "key", getattr(key, "idx", key))) for key in path]
    return names[1:] if names[:1] == ["params"] else names


def _number(path: Any) -> int | None:
    """Of the layer inside the backbone."""
    found = _LAYER.match(path_of(path)[1])
    return int(found.group(1)) if found else None


__all__ = ["param_depths", "path_of"]
