"""`lmtool info`: versions, devices, folders, what a report of a fault should hold; or what a run is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.errors import UsageError

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
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Show what this run is instead.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all files of RUN and compare their checksums.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show versions, devices, plugins and folders; or what a run is, and whether all of it is undamaged."""
    if verify and run is None:
        raise UsageError("`--verify` checks a run, and none was named", hint="`lmtool info RUN --verify`")
    facts = gather() if run is None else describe(run, verify=verify)
    if as_json:
        terminal.answer_json({"schema": 1, **facts})
        return
    for name, value in _flat(facts) if run is None else _flat_run(facts):
        terminal.answer(f"{name:<18} {value}")


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
        "result": run.result,
        "model": {"files": len(files), "bytes": sum(file.stat().st_size for file in files)},
        "posterior": has_posterior(run),
        "verified": verify,
    }


def _flat_run(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for people."""
    rows = [("run", facts["run"]), ("state", facts["state"])]
    rows += [(one["kind"], f"{one['name']} ({one['distribution']} {one['version']})") for one in facts["components"]]
    rows += [(name, str(value)) for name, value in facts["result"].items() if not isinstance(value, dict | list)]
    rows.append(("model", f"{facts['model']['files']} files, {facts['model']['bytes']:,} bytes"))
    if facts["posterior"]:
        rows.append(("posterior", "a standard deviation of each weight; `--posterior samples:K` draws from it"))
    return [
        *rows,
        ("checksums", "all files are as they were written" if facts["verified"] else "`--verify` compares them"),
    ]


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
