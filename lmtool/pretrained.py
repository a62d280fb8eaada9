"""The run that training starts from, `model.init_from`: what a config takes of it. Reads no weights."""

from __future__ import annotations

import json
import struct
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.errors import ConfigError, DataError
from lmtool.predicts import KINDS, Predicts, predicted_with

if TYPE_CHECKING:
    from collections.abc import Collection

    from lmtool.config import Choice, RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.raw_config import Raw
    from lmtool.registry import Registry

KEY = "init_from"
DESCRIPTION = "a run whose backbone and embedding training starts from; without `name`, its model's settings hold, too"
WEIGHTS = Path("model", "weights.safetensors")
ANSWERS = "begin.kernel"
"""A weight that networks from text to text have, and no others."""
STARTS = {"classes": "a run of classify", "texts": "a run of seq2seq", "tokens": "a run of lm"}
"""What a task that goes on from a run can go on from, by what its models predict."""


def init_from(raw: Raw) -> str | None:
    """The setting `model.init_from`. Raises ConfigError if it is no path."""
    path = raw.values.get("model", {}).get(KEY)
    if path is not None and not (isinstance(path, str) and path):
        raise ConfigError(f"{raw.where(f'model.{KEY}')}model.{KEY} must be a run folder, got {path!r}")
    return path


def with_source(raw: Raw, registry: Registry) -> Raw:
    """A config in which `model.init_from` leaves nothing open: the model is that of the run, unless one is named, and
    so is the size of the embedding, unless it is given. Where both tasks answer texts with texts, or this one goes on
    from the other with rewards, all settings of the task that are left out are those of the run, as far as both tasks
    have them.

    Raises:
        ConfigError: if the task needs such a run and there is none or one of another kind, the model is counted, its
            name or the tokenizer is another than the run's, or the embedding is to begin as something else, too.
        DataError: if there is no such run, or it is damaged or has no weights yet.
    """
    path, task = init_from(raw), dict(raw.values.get("task", {}))
    name = task.get("name", "lm")
    found = registry.find("task", name) if isinstance(name, str) else None
    capabilities = frozenset[str]() if found is None else found.component.capabilities
    kind = predicted_with(capabilities)
    if path is None or found is None:
        if "reward" in capabilities:
            what = f"{raw.where('task')}task '{name}' goes on from a run, and model.{KEY} is missing"
            raise ConfigError(what, hint=f"`--set model.{KEY}=RUN`, {STARTS[kind]}")
        return raw
    if "reward" in capabilities and (other := _kind_of(path, registry)) != kind:
        what = f"{raw.where(f'model.{KEY}')}task '{name}' goes on from {KINDS[kind]}, and {path} is {KINDS[other]}"
        raise ConfigError(what, hint=f"`--set model.{KEY}=RUN`, {STARTS[kind]}")
    values = dict(raw.values)
    if "name" not in values["model"]:
        values["model"] = {**_section(path, "model"), **values["model"]}
    model = values["model"].get("name")
    if isinstance(model, str) and "backbone" not in registry.find("model", model).component.capabilities:
        raise ConfigError(
            f"{raw.where('model')}model '{model}' is counted: it has no weights to start from {path} with"
        )
    schema = found.config_class()
    if (kind == "texts" or "reward" in capabilities) and _kind_of(path, registry) == kind:
        task = {**_settings(path, schema.model_fields), **task}
        values["task"] = task
    if "vectors" in schema.model_fields and task.get("vectors"):
        what = f"{raw.where('task.vectors')}task.vectors and model.{KEY} both say how the embedding begins"
        raise ConfigError(what, hint="leave one of them out")
    if "embedding_size" in schema.model_fields and "embedding_size" not in task:
        values["task"] = {**task, "embedding_size": embedding_size(path)}
    return replace(raw, values=values)


ONCE = frozenset({"scheduled_sampling_steps"})
"""Settings of a task that count steps from a run's beginning: what goes on from it is past them."""


def _settings(path: str, names: Collection[str]) -> dict[str, Any]:
    """Settings with these names of a run's task, as far as they outlast its training."""
    return {name: value for name, value in _section(path, "task").items() if name in names and name not in ONCE}


def _kind_of(path: str, registry: Registry) -> Predicts:
    """What a run's model is, one of `KINDS`."""
    return predicted_with(registry.find("task", str(_section(path, "task")["name"])).component.capabilities)


def check_tokenizer(path: str, given: Choice, where: str) -> None:
    """Raise ConfigError unless a tokenizer that a config gives is the one that the run was made with."""
    record = _json(Path(path, "tokenizer", "component.json"))
    settings = _read(path).get("tokenizer")
    same = settings is None or given.config.model_dump(mode="json", exclude_none=True) == _without(settings, "name")
    if record.get("name") != given.name or not same:
        raise ConfigError(
            f"{where}tokenizer '{given.name}' is not that of {path}, '{record.get('name')}'"
            + ("" if record.get("name") != given.name else " with other settings"),
            hint="leave [tokenizer] out: model.init_from brings it",
        )


def record(config: RunConfig, dataset: Dataset, run: Path) -> dict[str, Any]:
    """The entry of a run's record that says from which other it started, and with which weights; empty if from none.

    Raises:
        DataError: if the other run has no weights, or another tokenizer than the dataset.
        ConfigError: if it is the same.
    """
    path = config.init_from
    if path is None:
        return {}
    if Path(path).resolve() == run.resolve():
        raise ConfigError(f"{run} cannot start from its own weights", hint="`-o` names another folder")
    if _json(Path(path, "tokenizer", "component.json")).get("fingerprint") != dataset.fingerprint:
        raise DataError(
            f"ids in {dataset.path} were written with another tokenizer than that of {path}",
            hint=f"`lmtool tokenize --with {path} --train FILE … -o DATASET`",
        )
    answers_with = _target_fingerprint(path)
    if answers_with is not None and answers_with != dataset.target_tokenizer.fingerprint:
        raise DataError(
            f"targets in {dataset.path} were written with another tokenizer than those that {path} gives",
            hint=f"`lmtool tokenize --with {path} --train FILE … -o DATASET`",
        )
    return {KEY: {"run": path, "sha256": digest(path)}}


def _target_fingerprint(path: str) -> str | None:
    """Of the tokenizer of what a run's model answers; None if it does not answer with texts."""
    own = Path(path, "target-tokenizer", "component.json")
    if own.is_file():
        return str(_json(own).get("fingerprint"))
    answers = ANSWERS in _shapes(Path(path) / WEIGHTS, path)
    return str(_json(Path(path, "tokenizer", "component.json")).get("fingerprint")) if answers else None


def embedding_size(path: str) -> int:
    """E of a run's network.

    Raises:
        DataError: if it has no weights yet, or they are damaged.
        ConfigError: if it has no embedding.
    """
    shapes = _shapes(Path(path) / WEIGHTS, path)
    for name in ("embedding", "embedding_0"):
        if len(shapes.get(name, [])) == 2:
            return int(shapes[name][1])
    raise ConfigError(f"model.{KEY}: {path} has no embedding to start from")


def digest(path: str) -> str:
    """sha256 of a run's weights. Raises DataError if it has none yet."""
    import hashlib

    _shapes(Path(path) / WEIGHTS, path)
    with (Path(path) / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _section(path: str, name: str) -> dict[str, Any]:
    section = _read(path).get(name)
    if not isinstance(section, dict):
        raise DataError(f"{Path(path, 'config.toml')} is damaged: it has no section [{name}]")
    return _without(section, KEY)


def _without(section: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name != key}


def _read(path: str) -> dict[str, Any]:
    """The resolved config of a run."""
    folder = Path(path)
    if not (folder / "run.json").is_file():
        missing = f"{path} is not a run: it has no run.json" if folder.exists() else f"no run {path}"
        raise DataError(f"model.{KEY}: {missing}", hint="`lmtool train -o RUN` makes one")
    file = folder / "config.toml"
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{file} is damaged: {error}") from None


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file} is damaged: {error}") from None


def _shapes(file: Path, path: str) -> dict[str, list[int]]:
    """Of each array of a safetensors file, from its header alone: 8 bytes of its length, then JSON."""
    _read(path)
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(min(length, 1 << 24)))
        return {name: list(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except FileNotFoundError:
        if (Path(path) / "model").is_dir():
            raise ConfigError(f"model.{KEY}: {path} is no network: it has no weights to start from") from None
        raise DataError(f"{path} has no model yet", hint="run the same `lmtool train` again to go on") from None
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise DataError(f"{file} is damaged: {error}") from None


__all__ = [
    "DESCRIPTION",
    "KEY",
    "check_tokenizer",
    "digest",
    "embedding_size",
    "init_from",
    "record",
    "with_source",
]
