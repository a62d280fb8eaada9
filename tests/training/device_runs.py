"""A program that trains small runs on many CPU devices, as one of several processes if asked: `device_runs.py JSON`.

Prints a JSON line for each run: its exit code and message, or its losses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lmtool.config import load_config
from lmtool.data.dataset import Dataset
from lmtool.devices import DeviceOptions
from lmtool.errors import DataError, LmtoolError
from lmtool.jax_setup import make_cpu_devices
from lmtool.registry import Registry
from lmtool.run import Run
from lmtool.signals import StopRequest
from lmtool.training import train
from lmtool.training.processes import Processes

SETTINGS = (
    "task.dropout=0.3",
    "optimizer.learning_rate=0.01",
    "training.batch_size=8",
    "training.bptt=12",
    "training.max_steps=50",
    "training.eval_every=20",
    "training.log_every=1",
    "training.checkpoint_every=10",
)
SIZES = {"lstm": "model.hidden_size=12", "cnn": "model.channels=12"}


def main(job: dict[str, Any]) -> None:
    options = DeviceOptions(**job.get("options", {}))
    processes = Processes.join(options)
    make_cpu_devices(job.get("cpu_devices", 1))
    for run in job["runs"]:
        print(json.dumps(outcome(job, run, options, processes)), flush=True)


def outcome(job: dict[str, Any], run: dict[str, Any], options: DeviceOptions, processes: Processes) -> dict[str, Any]:
    registry = Registry(third_party=False)
    settings = [f'data.path="{job["dataset"]}"', SIZES[run["model"]], *SETTINGS, *run.get("settings", ())]
    config = load_config(None, registry, flags={"model.name": run["model"]}, overrides=settings)
    path = Path(job["folder"]) / run["name"]
    stop = StopRequest()
    warnings: list[str] = []

    def report(phase: str, fraction: float, **fields: str) -> None:
        if [phase, processes.index] == run.get("stop"):
            stop.signal_name = "SIGTERM"

    if run.get("fails") == processes.index:
        sabotage(run["with"])
    try:
        train(
            config,
            Dataset.open(Path(job["dataset"])),
            path,
            registry,
            stop=stop,
            report=report,
            warn=warnings.append,
            devices=DeviceOptions(run.get("devices", options.devices), run.get("shard_params", False)),
            processes=processes,
        )
    except LmtoolError as error:
        return {"name": run["name"], "code": error.exit_code, "message": error.message, "hint": error.hint}
    log = (path / "metrics.jsonl").read_text().splitlines()
    losses = [[line["kind"], line["step"], line["loss"]] for line in map(json.loads, log)]
    return {"name": run["name"], "losses": losses, "warnings": warnings}


def sabotage(how: str) -> None:
    """From now on this process cannot write a model, or cannot read a batch."""
    from lmtool.tasks.windows import Windows

    def full(self: Any, model: Any, posterior: Any = None) -> None:
        raise DataError("cannot write the model: no space left on device")

    def broken(self: Any, step: int) -> Any:
        raise ValueError("a bug")

    if how == "full disk":
        Run.write_model = full  # type: ignore[method-assign]
    else:
        Windows.batch = broken  # type: ignore[method-assign]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
