"""A training step with each optimizer beside one with `sgd`, in turns in one process.

    python benchmarks/optimizers.py [--shapes lm classify] [--optimizers adamw vadg] [--rounds 8] [--steps 6] [--json]

lm is a language model, LSTM 2×200 over 10,000 words, tied embeddings, 20 × 35 tokens a step; classify a classifier of
20 classes, an embedding of 20,000 × 128 and an LSTM of 128, 32 documents of up to 400 tokens a step. Words are drawn by
Zipf's law; `--data` takes a dataset folder instead, with labels for `classify`. A step is `lmtool train`'s own,
compiled, gradients clipped; its batches are made beforehand, and all optimizers are given the same.

A round is a turn of each optimizer, in an order that changes from round to round. A step's time is the median over all
steps. Beside it stand its ratio to `sgd`, the median over the rounds of the turns' ratios; that of the fastest steps,
which other processes disturb least; and that of the processor's time, all threads together, which they disturb hardly.
Compiling is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from operator import truediv
from pathlib import Path
from typing import Any

BASE = "sgd"
ALL = (
    *("sgd", "asgd", "adamw", "rmsprop", "adafactor", "lion", "muon", "schedule-free"),
    *("vadg", "optax:adagrad", "optax:novograd", "optax:sophia"),
)
WARM_UP = 2
"""Turns of each optimizer that are not counted; every length of documents is compiled in the first."""
SHAPES: dict[str, dict[str, Any]] = {
    "lm": {
        "tokenizer": {"name": "word", "vocab_size": 10_000},
        "task": {"name": "lm", "dropout": 0.2},
        "model": {"name": "lstm", "num_layers": 2, "hidden_size": 200},
        "training": {"batch_size": 20, "bptt": 35},
    },
    "classify": {
        "tokenizer": {"name": "word", "vocab_size": 20_000},
        "task": {"name": "classify", "embedding_size": 128, "max_length": 400, "dropout": 0.0},
        "model": {"name": "lstm", "hidden_size": 128},
        "training": {"batch_size": 32, "max_grad_norm": 5.0},
    },
}


@dataclass
class Side:
    """One optimizer, and what was measured of it."""

    step: Any
    state: Any
    rounds: list[list[float]] = field(default_factory=list)
    """Seconds of each step, turn by turn."""
    processor: list[float] = field(default_factory=list)
    """Seconds of processor time of each turn."""

    def take(self, batches: Iterable[Any]) -> list[float]:
        import jax

        seconds = []
        for batch in batches:
            start = time.perf_counter()
            self.state, metrics = self.step(self.state, batch)
            jax.block_until_ready((self.state, metrics))  # type: ignore[no-untyped-call]
            seconds.append(time.perf_counter() - start)
        return seconds

    def turn(self, batches: Iterable[Any]) -> None:
        start = time.process_time()
        self.rounds.append(self.take(batches))
        self.processor.append(time.process_time() - start)

    def facts(self, base: Side) -> dict[str, float]:
        turns = [statistics.median(turn) for turn in self.rounds]
        fastest = min(one for turn in self.rounds for one in turn)
        base_turns = [statistics.median(turn) for turn in base.rounds]
        return {
            "milliseconds": 1000 * statistics.median(one for turn in self.rounds for one in turn),
            "fastest_milliseconds": 1000 * fastest,
            "ratio": statistics.median(mine / other for mine, other in zip(turns, base_turns, strict=True)),
            "fastest_ratio": fastest / min(one for turn in base.rounds for one in turn),
            "processor_ratio": statistics.median(map(truediv, self.processor, base.processor)),
        }


def words(vocab: int, rng: random.Random) -> Iterator[str]:
    """By Zipf's law, without end; the whole vocabulary comes once, first."""
    names = [f"w{number}" for number in range(vocab)]
    yield from names
    weights = list(accumulate(1 / rank for rank in range(1, vocab + 1)))
    while True:
        yield from rng.choices(names, cum_weights=weights, k=10_000)


def write_text(file: Path, shape: str) -> None:
    """A corpus for a shape: lines of 20 words, or documents of a few hundred with their classes."""
    rng = random.Random(0)
    stream = words(SHAPES[shape]["tokenizer"]["vocab_size"], rng)
    if shape == "lm":
        lines = [" ".join(next(stream) for _ in range(20)) for _ in range(5000)]
    else:
        lengths = [min(1000, max(10, round(rng.lognormvariate(5.2, 0.8)))) for _ in range(600)]
        documents = [" ".join(next(stream) for _ in range(length)) for length in lengths]
        lines = [json.dumps({"text": text, "label": f"class{i % 20}"}) for i, text in enumerate(documents)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_dataset(folder: Path, shape: str) -> Path:
    from lmtool.config import DataConfig, choose
    from lmtool.data.prepare import build, make_plan
    from lmtool.raw_config import Raw
    from lmtool.registry import Registry

    registry = Registry(third_party=False)
    file = folder / f"{shape}.{'txt' if shape == 'lm' else 'jsonl'}"
    write_text(file, shape)
    label = {} if shape == "lm" else {"label": "label"}
    data = DataConfig.model_validate({"train": [str(file)], **label})
    tokenizer = choose(Raw({"tokenizer": SHAPES[shape]["tokenizer"]}), "tokenizer", registry)
    build(make_plan(data, tokenizer, registry), folder / shape)
    return folder / shape


def make_side(dataset: Path, shape: str, optimizer: str, options: argparse.Namespace) -> tuple[Side, Any]:
    """One optimizer's step with a fresh state, and what it came from."""
    from lmtool.config import load_config
    from lmtool.data.dataset import Dataset
    from lmtool.devices import DeviceOptions
    from lmtool.registry import Registry
    from lmtool.training.learner import make_learner
    from lmtool.training.processes import Processes

    registry = Registry(third_party=False)
    sections = {key: table for key, table in SHAPES[shape].items() if key != "tokenizer"}
    flags = {f"{key}.{name}": value for key, table in sections.items() for name, value in table.items()}
    flags |= {"data.path": str(dataset), "optimizer.name": optimizer, "training.epochs": 1000}
    own = [one.removeprefix(f"{optimizer}:") for one in options.set if one.startswith(f"{optimizer}:")]
    overrides = [*(one for one in options.set if one.startswith("training.")), *own]
    config = load_config(None, registry, flags=flags, overrides=overrides)
    learner = make_learner(
        config, Dataset.open(dataset), registry, lambda message: None, devices=DeviceOptions(), processes=Processes()
    )
    return Side(learner.step, learner.placement.place_state(learner.initial_state())), learner


def measure(shape: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    from lmtool.heap import keep_heap

    keep_heap()  # as `lmtool train` does
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(options.data) if options.data else make_dataset(Path(folder), shape)
        sides: dict[str, Side] = {}
        for name in dict.fromkeys([BASE, *options.optimizers]):
            sides[name], learner = make_side(dataset, shape, name, options)
        with learner.placement.ambient():
            batches = [
                learner.placement.place_batch(learner.task.batch(step), stacked=False)
                for step in range(min(options.steps, learner.task.steps_per_epoch))
            ]
            for name, side in sides.items():
                print(f"{shape}: compiling {name}", file=sys.stderr)
                for _ in range(WARM_UP):
                    side.take(batches)
            for number in range(options.rounds):
                order = list(sides)
                random.Random(number).shuffle(order)
                for name in order:
                    sides[name].turn(batches)
    return {name: side.facts(sides[BASE]) for name, side in sides.items()}


def show(shape: str, found: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    print(f"\n{shape}: {options.rounds} rounds of {options.steps} steps")
    print(f"  {'':16}  ms/step   fastest    × {BASE}   fastest  processor")
    for name, facts in found.items():
        times = f"{facts['milliseconds']:9.1f}{facts['fastest_milliseconds']:10.1f}"
        print(f"  {name:16}{times}{facts['ratio']:9.2f}{facts['fastest_ratio']:10.2f}{facts['processor_ratio']:11.2f}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--optimizers", nargs="+", default=list(ALL), help="names, `optax:…` among them")
    parser.add_argument("--data", help="a dataset folder; for one shape")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn")
    parser.add_argument("--set", nargs="+", default=[], help="training.KEY=VALUE, or OPTIMIZER:optimizer.KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="one object instead of tables")
    options = parser.parse_args()
    if options.data and len(options.shapes) > 1:
        parser.error("--data is for one shape: give --shapes, too")
    return options


def main() -> None:
    options = parse()
    found: dict[str, Any] = {}
    if len(options.shapes) == 1:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        found[options.shapes[0]] = measure(options.shapes[0], options)
    else:  # how many devices a CPU is, is decided once in a process
        for shape in options.shapes:
            command = [sys.executable, *sys.argv, "--json", "--shapes", shape]
            found |= json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for shape, facts in found.items():
            show(shape, facts, options)


if __name__ == "__main__":
    main()
