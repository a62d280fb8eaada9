"""`lmtool info`: versions, devices, folders, what a report of a fault should hold; or what a run or a dataset is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import dataset_facts, terminal
from lmtool.errors import UsageError

if TYPE_CHECKING:
    from lmtool.data.dataset import Dataset
    from lmtool.run import Run

app = typer.Typer(rich_markup_mode=None, add_completion=False)

LIBRARIES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scikit-learn",
    "tokenizers",
    "safetensors",
    "pydantic",
    "typer",
    "rich",
    "pluggy",
)


@app.command()
def info(
    path: Annotated[
        Path | None, typer.Argument(metavar="[RUN|DATASET]", help="Show what this run or dataset is instead.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read all files of it and compare their checksums.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show versions, devices, plugins and folders; or what a run or dataset is, and whether all of it is undamaged."""
    if verify and path is None:
        what = "`--verify` checks a run or a dataset, and none was named"
        raise UsageError(what, hint="`lmtool info RUN --verify`")
    facts, rows = _of(path, verify=verify) if path else _of_here()
    if as_json:
        terminal.answer_json({"schema": 1, **facts})
        return
    for name, value in rows:
        terminal.answer(f"{name:<18} {value}")


def _of_here() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    facts = gather()
    return facts, _flat(facts)


def _of(path: Path, *, verify: bool) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from lmtool.data.dataset import RECORD, Dataset

    if (path / RECORD).is_file():
        dataset = Dataset.open(path, terminal.registry())
        if verify:
            dataset.verify()
        return {**dataset_facts.described(dataset), "verified": verify}, _flat_dataset(dataset, verified=verify)
    facts = describe(path, verify=verify)
    return facts, _flat_run(facts)


def describe(path: Path, *, verify: bool) -> dict[str, Any]:
    """What a run is, in the order of the answer. Raises DataError if it is none, or damaged."""
    from lmtool.posterior import has_posterior
    from lmtool.run import Run

    run = Run.open(path, terminal.registry())
    if verify:
        run.verify()
    files = [file for file in (path / "model").rglob("*") if file.is_file()]
    return {
        "run": str(path),
        "state": "finished" if run.is_finished else "started",
        "components": run.components,
        "targets": _targets(run),
        "result": run.result,
        "model": {"files": len(files), "bytes": sum(file.stat().st_size for file in files)},
        "posterior": has_posterior(run),
        "verified": verify,
    }


def _targets(run: Run) -> dict[str, Any] | None:
    """The fields of its targets, as far as they are known, and their tokenizer; None if its dataset has none."""
    from lmtool.data.tokenizer_folder import TARGET_FOLDER, tokenizer_record

    dataset, named = run.learned_dataset(), run.config["data"].get("target")
    fields = dataset.target_fields if dataset else (named,) if isinstance(named, str) else tuple(named or ())
    folder = run.path / TARGET_FOLDER
    own = tokenizer_record(folder) if folder.is_dir() else None
    if not fields and own is None:
        return None
    return {"fields": list(fields), **({"tokenizer": own} if own else {})}


def _flat_dataset(dataset: Dataset, *, verified: bool) -> list[tuple[str, str]]:
    """Rows for people."""
    rows = [("dataset", str(dataset.path)), ("text", dataset_facts.tokenizer_line(dataset.record["tokenizer"]))]
    if dataset.labels:
        rows.append(("labels", f"in '{dataset.labels.field}': {dataset_facts.labels_line(dataset)}"))
    rows += _flat_targets(dataset.record.get("targets"))
    rows += [(name, dataset_facts.split_line(dataset, name)) for name in dataset.split_names]
    return [*rows, _checksums(verified)]


def _flat_targets(targets: dict[str, Any] | None) -> list[tuple[str, str]]:
    if targets is None:
        return []
    where = f"in '{', '.join(targets['fields'])}': " if targets["fields"] else ""
    return [("targets", where + dataset_facts.target_tokenizer_line(targets))]


def _checksums(verified: bool) -> tuple[str, str]:
    return "checksums", "all files are as they were written" if verified else "`--verify` compares them"


def _flat_run(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for people."""
    rows = [("run", facts["run"]), ("state", facts["state"])]
    rows += [(one["kind"], f"{one['name']} ({one['distribution']} {one['version']})") for one in facts["components"]]
    rows += _flat_targets(facts["targets"])
    rows += [(name, str(value)) for name, value in facts["result"].items() if not isinstance(value, dict | list)]
    rows.append(("model", f"{facts['model']['files']} files, {facts['model']['bytes']:,} bytes"))
    if facts["posterior"]:
        rows.append(("posterior", "a standard deviation of each weight; `--posterior samples:K` draws from it"))
    return [*rows, _checksums(facts["verified"])]


def gather() -> dict[str, Any]:
    """Everything, in the order of the answer."""
    import platform

    from lmtool import __version__
    from lmtool.cache import cache_folder

    return {
        "lmtool": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "devices": _devices(),
        "plugins": _plugins(),
        "cache": str(cache_folder()),
    }


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _devices() -> dict[str, Any]:
    """What JAX would compute on. A JAX that cannot start is a fact to report, whatever it raises."""
    try:
        from lmtool.jax_setup import prepare_jax

        prepare_jax()
        import jax

        found = [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]
        return {"backend": jax.default_backend(), "devices": found, "error": None}
    except Exception as error:
        reason = " ".join(str(error).split())
        return {"backend": None, "devices": [], "error": f"{type(error).__name__}: {reason}"}


def _plugins() -> dict[str, int]:
    """How many plugins are in each state."""
    from collections import Counter

    from lmtool import plugins

    return dict(Counter(report.state for report in plugins.load(third_party=terminal.settings.third_party)))


def _flat(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for people: what is missing says so, what is empty is left out."""
    devices = facts["devices"]
    rows = [(name, value) for name, value in facts.items() if isinstance(value, str)]
    rows[4:4] = [(name, version or "not installed") for name, version in facts["libraries"].items()]
    rows += [("device", device) for device in devices["devices"]]
    rows += [("device", f"none: {devices['error']}")] if devices["error"] else []
    return [*rows, ("plugins", ", ".join(f"{count} {state}" for state, count in facts["plugins"].items()))]
