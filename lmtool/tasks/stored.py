"""A trained network's arrays, named by the paths in the parameters: `weights.safetensors`, `posterior.safetensors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from lmtool.errors import DataError
from lmtool.tasks.files import POSTERIOR, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmtool.array_types import Key


class Network(Protocol):
    """What weights belong to."""

    def init_params(self, key: Key) -> Any: ...


def to_safetensors(params: Any, constants: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Weights by their paths in the parameters (`backbone.layer_0_bias`), and constants among them."""
    from safetensors.numpy import save

    arrays = by_name(jax.device_get(params)) | dict(constants or {})
    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def read_tensors(folder: Path, name: str = WEIGHTS) -> dict[str, np.ndarray]:
    """Raises DataError if the file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: dict[str, np.ndarray] = load_file(folder / name)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {folder / name}: {error}") from None
    return tensors


def as_params(folder: Path, weights: Mapping[str, np.ndarray], network: Network) -> Any:
    """The parameters of a network. Raises DataError, naming one of them, if the weights are another's."""
    expected = jax.eval_shape(network.init_params, jax.random.key(0))
    _check_shapes(folder / WEIGHTS, weights, by_name(expected), "the config asks for")
    return of_names({name: jnp.asarray(array) for name, array in weights.items()})


def read_posterior(folder: Path, params: Any) -> dict[str, np.ndarray]:
    """Standard deviations of these weights, float32 by name. Raises DataError if the file is missing, damaged, another
    model's, or holds something that is no standard deviation."""
    path, deviations = folder / POSTERIOR, read_tensors(folder, POSTERIOR)
    _check_shapes(path, deviations, by_name(params), f"{WEIGHTS} has")
    for name, array in deviations.items():
        if not (np.isfinite(array) & (array >= 0)).all():
            raise DataError(f"{path}: weight {name} has a standard deviation that is no number from 0 on")
    return {name: array.astype(np.float32) for name, array in deviations.items()}


def by_name(params: Any) -> dict[str, Any]:
    """Parameters by their paths: `backbone.layer_0_bias`."""
    named: dict[str, Any] = flatten_dict(params["params"], sep=".")
    return named


def of_names(arrays: Mapping[str, Any]) -> Any:
    """The parameters that `by_name` took apart."""
    return {"params": unflatten_dict(dict(arrays), sep=".")}


def _check_shapes(path: Path, found: Mapping[str, np.ndarray], expected: Mapping[str, Any], who: str) -> None:
    shapes = {name: tuple(array.shape) for name, array in expected.items()}
    for name in sorted(shapes.keys() | found.keys()):
        shape = tuple(found[name].shape) if name in found else None
        if shape != shapes.get(name):
            raise DataError(f"{path}: weight {name} has shape {shape}, {who} {shapes.get(name)}")


__all__ = [
    "POSTERIOR",
    "WEIGHTS",
    "as_params",
    "by_name",
    "of_names",
    "read_posterior",
    "read_tensors",
    "to_safetensors",
]
