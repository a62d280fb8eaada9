"""A training step of neural language models here and in PyTorch, in turns: time, tokens per second, memory.

    python benchmarks/neural_lm.py --torch-python torch-env/bin/python [--shapes lstm-650 cnn] [--rounds 5]

Both sides have the same shapes, the same number of weights (tied embeddings; PyTorch's LSTM has a second bias), the
same ids, drawn by Zipf's law, SGD, gradients clipped, and dropout of 0.2 on the embedded inputs and on the outputs, one
mask for all time steps. lmtool is `lmtool train` itself, its loop included; the peer is `neural_lm_torch.py`, with
`nn.LSTM`, `nn.Conv1d` and, for bfloat16, `torch.autocast`.

Each side is one process that lives through all rounds and sleeps while the other has its turn. The first turn, in
which ours compiles, is not counted. Step time is the median over all steps, with the fastest beside it; the ratio is
the median over the rounds of the peer's time over ours, then that of the fastest steps, which other processes disturb
least: above 1 lmtool is faster. Peak memory is the high-water mark of each process (`VmHWM`), libraries and all. "of
peak" is the part of the fastest matrix product of this run (either library) that the products of a step make use of.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from processes import kilobytes, run

HERE = Path(__file__).parent
MB = 1 << 20
SPECIAL_IDS = 2
"""Of lmtool's word vocabularies: the end of a line and the unknown word."""


@dataclass(frozen=True)
class Shape:
    """A model and its batch."""

    model: str
    layers: int
    size: int
    kernel: int = 4
    vocab: int = 10_000
    batch: int = 20
    bptt: int = 35

    @property
    def tokens(self) -> int:
        return self.batch * self.bptt

    @property
    def flops(self) -> int:
        """Of the matrix products of a step: forward, and twice that backward."""
        layer = (2 * 4 if self.model == "lstm" else 2 * self.kernel) * self.size * self.size
        return 3 * 2 * self.tokens * (self.layers * layer + self.vocab * self.size)


SHAPES = {
    "lstm-200": Shape("lstm", 2, 200),
    "lstm-650": Shape("lstm", 2, 650),
    "cnn": Shape("cnn", 6, 256),
    "wikitext2": Shape("lstm", 1, 256, vocab=33_278, batch=32),
}


class Worker:
    """One side: a process that takes steps when it is told to."""

    def __init__(self, python: str, file: str, settings: dict[str, Any]) -> None:
        self._name = file
        command = [python, str(HERE / file), json.dumps(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self, steps: int) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._name} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def peak(self) -> int:
        """Bytes."""
        return kilobytes(self._process.pid, "status", "VmHWM:") * 1024

    def end(self) -> None:
        self._process.communicate()


@dataclass
class Side:
    """What was measured of one side."""

    rounds: list[list[float]] = field(default_factory=list)
    """Seconds of each step, turn by turn."""
    totals: list[float] = field(default_factory=list)
    """Seconds per step of each turn as a whole."""
    peak_bytes: int = 0
    device_bytes: int = 0

    def add(self, answer: dict[str, Any], steps: int) -> None:
        self.rounds.append(answer["seconds"])
        self.totals.append(answer["total"] / steps)
        self.device_bytes = answer["device_bytes"]

    @property
    def seconds(self) -> float:
        return statistics.median(one for turn in self.rounds for one in turn)

    @property
    def fastest(self) -> float:
        return min(one for turn in self.rounds for one in turn)


Workers = dict[str, Worker]
Sides = dict[str, Side]


def in_turns(workers: Workers, *, rounds: int, steps: int, warm_up: int) -> Sides:
    sides = {name: Side() for name in workers}
    for worker in workers.values():
        worker.take(warm_up)
    for _ in range(rounds):
        for name, worker in workers.items():
            sides[name].add(worker.take(steps), steps)
    for name, worker in workers.items():
        sides[name].peak_bytes = worker.peak()
        worker.end()
    return sides


def ratio(sides: Sides) -> float:
    pairs = zip(sides["torch"].rounds, sides["lmtool"].rounds, strict=True)
    return statistics.median(statistics.median(peer) / statistics.median(ours) for peer, ours in pairs)


def start(options: argparse.Namespace, settings: dict[str, Any]) -> Workers:
    common = {"device": options.device, "threads": options.threads, "dropout": options.dropout, **settings}
    return {
        "torch": Worker(options.torch_python, "neural_lm_torch.py", common),
        "lmtool": Worker(sys.executable, "neural_lm_lmtool.py", {**common, "set": options.set}),
    }


def product_peak(options: argparse.Namespace, precision: str) -> float:
    """FLOP/s of the faster side's fastest product."""
    settings = {"model": "peak", "precision": precision, "matrix": options.matrix}
    sides = in_turns(start(options, settings), rounds=3, steps=5, warm_up=2)
    return float(2 * options.matrix**3 / min(side.fastest for side in sides.values()))


def write_dataset(vocab: int, num_tokens: int, folder: Path) -> Path:
    """Words by Zipf's law, each at least once, as a dataset of `vocab` ids."""
    words = [f"w{number}" for number in range(vocab - SPECIAL_IDS)]
    chosen = words + random.Random(0).choices(words, [1 / rank for rank in range(1, len(words) + 1)], k=num_tokens)
    text = folder / f"text-{vocab}.txt"
    text.write_text("".join(" ".join(chosen[i : i + 25]) + "\n" for i in range(0, len(chosen), 25)))
    data = folder / f"data-{vocab}"
    lmtool = [sys.executable, "-m", "lmtool", "--quiet", "tokenize", "--tokenizer", "word"]
    run([*lmtool, "--train", str(text), "-o", str(data)])
    found = json.loads((data / "dataset.json").read_text())["tokenizer"]["vocab_size"]
    if found != vocab:
        sys.exit(f"the made-up text has {found} ids, not {vocab}")
    return data


# What is printed ------------------------------------------------------------------------------------------------------


def show(name: str, precision: str, shape: Shape, sides: Sides, peak: float) -> dict[str, Any]:
    print(f"\n{name}, {precision}: {shape.tokens} tokens a step, {shape.flops / 1e9:.1f} GFLOP in matrix products")
    result: dict[str, Any] = {"shape": name, "precision": precision, **asdict(shape), "peak_flops": peak}
    for side_name, side in sides.items():
        facts = {
            "step_seconds": side.seconds,
            "fastest_step_seconds": side.fastest,
            "turn_seconds_per_step": statistics.median(side.totals),
            "tokens_per_second": shape.tokens / side.seconds,
            "peak_bytes": side.peak_bytes,
            "device_bytes": side.device_bytes,
            "of_peak": shape.flops / side.seconds / peak,
        }
        result[side_name] = facts
        memory_used = side.device_bytes or side.peak_bytes
        print(
            f"  {side_name:8}{side.seconds * 1e3:9.1f} ms (fastest {side.fastest * 1e3:.1f})"
            f"{facts['tokens_per_second']:11,.0f} tokens/s{memory_used / MB:9,.0f} MB{facts['of_peak']:8.0%} of peak"
        )
    result["ratio"] = ratio(sides)
    result["fastest_ratio"] = sides["torch"].fastest / sides["lmtool"].fastest
    memory = sides["lmtool"].peak_bytes / max(1, sides["torch"].peak_bytes)
    speeds = f"{result['ratio']:.2f} (fastest {result['fastest_ratio']:.2f})"
    print(f"  ratio   {speeds} times as fast, {memory:.2f} times the memory", flush=True)
    return result


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    datasets: dict[int, Path] = {}
    peaks = {precision: product_peak(options, precision) for precision in options.precision}
    for precision, peak in peaks.items():
        print(f"fastest {precision} product of {options.matrix}² matrices: {peak / 1e9:,.0f} GFLOP/s", flush=True)
    results = []
    for name in options.shapes:
        shape = options.all_shapes[name]
        if shape.vocab not in datasets:
            datasets[shape.vocab] = write_dataset(shape.vocab, options.tokens, folder)
        data = datasets[shape.vocab]
        for precision in options.precision:
            files = {"dataset": str(data), "ids": str(data / "train-00000.npy")}
            workers = start(options, {**asdict(shape), **files, "precision": precision})
            sides = in_turns(workers, rounds=options.rounds, steps=options.steps, warm_up=options.warm_up)
            results.append(show(name, precision, shape, sides, peaks[precision]))
    return results


def parse(shapes: dict[str, Shape] = SHAPES, **defaults: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training steps here and in PyTorch, in turns.")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has PyTorch (default: this)")
    parser.add_argument("--shapes", nargs="+", default=list(shapes), choices=shapes)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--steps", type=int, default=10, help="in a turn")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before the first turn, not counted")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores that both sides may use")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--matrix", type=int, default=2048, help="side of the matrices whose product is the peak")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="length of the made-up text")
    parser.add_argument("--set", action="append", default=[], help="of lmtool's config, as in `lmtool train --set`")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.set_defaults(**{"device": "cpu", "all_shapes": shapes, **defaults})
    return parser.parse_args()


def report(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def main() -> None:
    options = parse()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])  # what is started has it from here
    report(options)


if __name__ == "__main__":
    main()
