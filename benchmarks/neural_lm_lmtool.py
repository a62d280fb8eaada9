"""Our side of `neural_lm.py`: the run of `lmtool train` itself, which waits for its turn between steps.

The loop asks the `StopRequest` that it is given between any two dispatches whether to stop; here it is asked to wait.
With "peak" as its model this multiplies matrices instead. `neural_lm_torch.py` says what the settings are and what is
printed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from lmtool.config import load_config
from lmtool.data.prepare import prepare
from lmtool.heap import keep_heap
from lmtool.jax_setup import prepare_jax
from lmtool.registry import Registry
from lmtool.signals import StopRequest
from lmtool.training import train


class Turns(StopRequest):
    """Lets the loop take as many steps as a line on stdin says, then prints what they took; ends at end of file."""

    def __init__(self, steps_per_dispatch: int = 1) -> None:
        self._stamps: list[float] = []
        self._wanted = 0
        self._steps_per_dispatch = steps_per_dispatch
        super().__init__()

    @property
    def signal_name(self) -> str | None:
        self._stamps.append(time.perf_counter())
        if (len(self._stamps) - 1) * self._steps_per_dispatch >= self._wanted:
            if self._wanted:
                self._report()
            self._wanted = int(sys.stdin.readline() or os._exit(0))
            self._stamps = [time.perf_counter()]
        return None

    @signal_name.setter
    def signal_name(self, _: str | None) -> None:
        pass

    def _report(self) -> None:
        import jax

        jax.block_until_ready(jax.live_arrays())  # type: ignore[no-untyped-call]
        total = time.perf_counter() - self._stamps[0]
        # The first dispatch returns at once, and the last is waited for after its stamp: neither is a step's time.
        inner = self._stamps[1:-1] if len(self._stamps) > 4 else self._stamps
        seconds = [b - a for a, b in pairwise(inner)]
        answer(seconds, total, self._wanted, self._steps_per_dispatch)


def answer(seconds: list[float], total: float, steps: int, steps_per_dispatch: int = 1) -> None:
    """Print what a turn took: each dispatch, if the clock can tell, and all its steps together."""
    import jax

    statistics: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    seconds = [one / steps_per_dispatch for one in seconds]
    if peak := statistics.get("peak_bytes_in_use", 0):  # a GPU works on while the host's clock is read
        seconds = [total / steps]
    print(json.dumps({"seconds": seconds, "total": total, "device_bytes": peak}), flush=True)


def flags(settings: dict[str, Any]) -> dict[str, Any]:
    """What the config of the run says."""
    lstm = {"num_layers": settings["layers"], "hidden_size": settings["size"]}
    cnn = {"num_layers": settings["layers"], "channels": settings["size"], "kernel_size": settings["kernel"]}
    model = {"name": settings["model"], **(lstm if settings["model"] == "lstm" else cnn)}
    return {
        "data.path": settings["dataset"],
        "task.dropout": settings["dropout"],
        "optimizer.name": "sgd",
        "training.precision": settings["precision"],
        "training.batch_size": settings["batch"],
        "training.bptt": settings["bptt"],
        "training.epochs": 10**6,
        "training.eval_every": 10**9,
        "training.checkpoint_every": 10**9,
        **{f"model.{name}": value for name, value in model.items()},
    }


def train_in_turns(settings: dict[str, Any]) -> None:
    registry = Registry(third_party=False)
    config = load_config(None, registry, flags=flags(settings), overrides=settings["set"])
    dataset = prepare(config.data, config.tokenizer, registry, lambda phase, fraction: None)
    turns = Turns(config.training.steps_per_dispatch)
    # Beside the dataset, which whoever started this removes: it ends between two steps, without cleaning up.
    folder = tempfile.mkdtemp(dir=Path(settings["dataset"]).parent)
    train(config, dataset, Path(folder) / "run", registry, stop=turns)


def multiply_in_turns(settings: dict[str, Any]) -> None:
    prepare_jax()
    import jax
    import jax.numpy as jnp

    a = jax.random.normal(jax.random.key(0), (settings["matrix"],) * 2).astype(jnp.dtype(settings["precision"]))
    product = jax.jit(jnp.matmul)
    for line in sys.stdin:
        stamps = [time.perf_counter()]
        for _ in range(int(line)):
            product(a, a).block_until_ready()
            stamps.append(time.perf_counter())
        answer([b - a for a, b in pairwise(stamps)], stamps[-1] - stamps[0], int(line))


def main() -> None:
    settings = json.loads(sys.argv[1])
    os.environ["JAX_PLATFORMS"] = settings["device"]
    keep_heap()  # as `lmtool train` does
    if settings["model"] == "peak":
        multiply_in_turns(settings)
    else:
        train_in_turns(settings)


if __name__ == "__main__":
    main()
