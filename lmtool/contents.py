"""What a run is made of: components with their versions, and hashes of the files and runs that its config names.

A run notes them, so that it goes on with the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmtool.config import Choice, RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry


def components(config: RunConfig, dataset: Dataset, registry: Registry) -> list[dict[str, Any]]:
    """Kind, name, versions and distribution of each component that a run uses."""
    from lmtool.config import choose_inline, reward_of
    from lmtool.data.tokenizer_folder import FOLDER, find_component, open_target_tokenizer, tokenizer_record

    found = [find_component(tokenizer_record(dataset.path / FOLDER), registry)]
    if own := open_target_tokenizer(dataset.path, registry):
        found.append(own[1])
    chosen = (config.task, config.model, config.encoder, reward_of(config.task, registry), config.optimizer)
    found += [one.found for one in chosen if one]
    if config.optimizer:
        found.append(choose_inline("step", config.training.step, registry, "training.step").found)
        found += [one.found for one in _of_training(config, registry).values()]
    records = [one.record() for one in found]
    return [record for number, record in enumerate(records) if record not in records[:number]]


def _of_training(config: RunConfig, registry: Registry) -> dict[str, Choice]:
    """The components that are named in lists of [training], by the places where they stand."""
    from lmtool.config import choose_inline

    return {
        f"training.{key}.{number}": choose_inline(kind, setting, registry, f"training.{key}")
        for kind, key in (("augmentation", "augment"), ("evaluator", "evaluators"))
        for number, setting in enumerate(getattr(config.training, key))
    }


def is_imported(config: RunConfig) -> bool:
    """Whether the model is read from a file; see `lmtool.api.ImportedModel`."""
    return "imported" in config.model.found.component.capabilities


def imported(config: RunConfig) -> dict[str, Any]:
    """The entry of a run that says which file was imported, and what it held; empty if none was."""
    from lmtool.data.reading import digest_of_file

    if not is_imported(config):
        return {}
    file = str(getattr(config.model.config, "file"))  # noqa: B009 - what such a model's settings have
    return {"imported": {"file": file, "sha256": digest_of_file(Path(file))}}


def contents(config: RunConfig, registry: Registry, digest_of_run: Callable[[str], str | None]) -> dict[str, Any]:
    """The entry of a run that says what the files and runs held that its settings name; empty if they name none.

    Args:
        config: Of the run.
        registry: Where components are looked up.
        digest_of_run: From a run's path to the hash of its model; None leaves it out.
    """
    from lmtool.config import reward_of
    from lmtool.data.reading import digest_of_file

    chosen = {"task": config.task, "model": config.model}
    if config.encoder is not None:
        chosen["task.encoder"] = config.encoder
    if reward := reward_of(config.task, registry):
        chosen["task.reward"] = reward
    chosen |= _of_training(config, registry)
    found = {}
    for section, choice in chosen.items():
        for name in sorted(choice.config.FILES | choice.config.RUNS):
            if path := getattr(choice.config, name):
                is_run = name in choice.config.RUNS
                paths = {f"{section}.{name}": path} if isinstance(path, str) else _numbered(f"{section}.{name}", path)
                for key, one in paths.items():
                    digest = digest_of_run(one) if is_run else digest_of_file(Path(one))
                    if digest is not None:
                        found[key] = {"path": one, "sha256": digest}
    return {"contents": found} if found else {}


def _numbered(key: str, paths: Iterable[str]) -> dict[str, str]:
    return {f"{key}.{number}": path for number, path in enumerate(paths)}


__all__ = ["components", "contents", "imported", "is_imported"]
