"""Whether a run that has begun can go on: what it was begun with, beside what it is asked for now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool import pretrained
from lmtool.config import resolve
from lmtool.contents import components, contents, imported
from lmtool.errors import ConfigError
from lmtool.raw_config import Raw, flat
from lmtool.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset

COMPARED = ("task", "model", "optimizer", "training")
"""Sections that must not change while a run is trained; the dataset's key stands for data and tokenizer."""
START_OVER = "`--force` starts over, `-o` names another folder"


def check_unchanged(run: Run, config: RunConfig, dataset: Dataset) -> None:
    """Raise ConfigError naming the first thing that differs from what the run began with.

    That is the data, a setting, what a file or run holds that a setting names, or, unless the run is finished, a
    component's version.
    """
    if dataset.key != run.record["dataset"]["key"]:
        raise _begun(run, f"other data or another tokenizer than {dataset.path}")
    if run.record.get("imported") != imported(config).get("imported"):
        raise _begun(run, "another content of the file that is imported")
    if run.record.get("init_from") != pretrained.record(config, dataset, run.path).get("init_from"):
        raise _begun(run, f"other weights of {config.init_from}")
    _check_contents(run, config)
    now, before = _compared(config.to_dict()), _compared(_resolved(run))
    for key in [*now, *before]:
        if now.get(key) != before.get(key):
            was, is_ = (_shown(values.get(key)) for values in (before, now))
            raise _begun(run, f"{key} {was}, now it is {is_}")
    if not run.is_finished:
        check_versions(run, config, dataset)


def check_versions(run: Run, config: RunConfig, dataset: Dataset) -> None:
    """Raise ConfigError naming the first component that had another version when the run began.

    Half a run by one version and half by another would be neither's, and so would be a model of runs by both.
    """
    before = {(one["kind"], one["name"]): one["version"] for one in run.components}
    for one in components(config, dataset, run.registry):
        if (was := before.get((one["kind"], one["name"]), one["version"])) != one["version"]:
            raise _begun(run, f"version {was} of {one['kind']} '{one['name']}', now it is {one['version']}")


def _check_contents(run: Run, config: RunConfig) -> None:
    """What was begun by an older version has noted none of them."""

    def digest_of(path: str) -> str | None:
        """None if a run is gone: whoever needed it either has a copy, or will say so."""
        return Run.open(path, run.registry).model_digest if Path(path).exists() else None

    before = run.record.get("contents", {})
    for key, one in contents(config, run.registry, digest_of).get("contents", {}).items():
        if before.get(key, one)["sha256"] != one["sha256"]:
            raise _begun(run, f"another content of {key}, {one['path']}")


def _resolved(run: Run) -> dict[str, Any]:
    """The config by today's schemas: a setting that has come since the run began has its default."""
    return resolve(Raw(run.config, source=str(run.path / "config.toml")), run.registry).to_dict()


def _compared(sections: Mapping[str, Any]) -> dict[str, Any]:
    return flat({name: section for name, section in sections.items() if name in COMPARED})


def _shown(value: Any) -> str:
    return "unset" if value is None else repr(value)


def _begun(run: Run, what: str) -> ConfigError:
    return ConfigError(f"{run.path} was begun with {what}", hint=START_OVER)


__all__ = ["COMPARED", "check_unchanged", "check_versions"]
