"""A trained run's answers to test texts, here and by PyTorch with the same weights, in turns: sentences per second.

    lmtool tokenize … -o DATASET; lmtool train configs/multi30k-lstm.toml --data DATASET -o RUN
    python benchmarks/answers.py --run RUN --data DATASET --torch-python torch-env/bin/python

Every answer goes on until it ends by itself. lmtool is the model that `lmtool eval` and `predict` ask, given all test
texts at once. PyTorch searches by the same rules, a batch of 64 at a time until all of the batch are done, with packed
sequences in the encoder; it gets the texts as they come, or sorted by length. How many of its answers are lmtool's,
too, is printed: some differ where two hypotheses are equally good up to rounding.

Networks are those of one layer, LSTM or GRU, bidirectional in the encoder, with `attention = "general"` and a tied
output as wide as the attention. The first turn, in which ours compiles, is shown and not counted. Rates are the median
over the rounds; the ratio is the median over the rounds of ours by the peer's, above 1 lmtool is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from neural_lm import HERE, MB, Worker
from processes import run

SIDES = {"lmtool": None, "torch": False, "torch sorted": True}
"""Whether texts are sorted by length."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A trained run's answers here and in PyTorch, in turns.")
    parser.add_argument("--run", required=True, help="run of `lmtool train`, task seq2seq")
    parser.add_argument("--data", required=True, help="its dataset, with a test split")
    parser.add_argument("--torch-python", required=True, help="interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--batch", type=int, default=64, help="sentences of a batch of PyTorch's")
    parser.add_argument("--length", type=int, default=60, help="greatest length of an answer")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores that all sides may use")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def compare(settings: dict[str, Any], options: argparse.Namespace) -> list[dict[str, Any]]:
    """All sides with one beam."""
    sides = {}
    for name, is_sorted in SIDES.items():
        ours = is_sorted is None
        python, file = (sys.executable, "lmtool") if ours else (options.torch_python, "torch")
        sides[name] = Worker(python, f"answers_{file}.py", {**settings, "sorted": is_sorted})
    rates: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, list[list[int]]] = {}
    first: dict[str, float] = {}
    for number in range(options.rounds + 1):
        for name, worker in sides.items():
            answer = worker.take(1)
            found[name] = answer["ids"]
            if number:
                rates[name].append(len(answer["ids"]) / answer["total"])
            else:
                first[name] = answer["total"]
    results = []
    print(f"\nbeam {settings['beam']}: {options.rounds} turns of {len(found['lmtool']):,} sentences\n"
          f"  {'':14}{'sentences/s':>14}   (worst to best)  first turn    memory   same answers")  # fmt: skip
    for name, worker in sides.items():
        same = statistics.mean(one == other for one, other in zip(found[name], found["lmtool"], strict=True))
        ratio = statistics.median(one / peer for one, peer in zip(rates["lmtool"], rates[name], strict=True))
        rate, peak = statistics.median(rates[name]), worker.peak()
        spread = f"({min(rates[name]):,.0f} to {max(rates[name]):,.0f})"
        text = "" if name == "lmtool" else f"{same:15.1%}{ratio:9.2f} times as fast is lmtool"
        print(f"  {name:14}{rate:14,.0f}{spread:>18}{first[name]:10.1f} s{peak / MB:7,.0f} MB{text}", flush=True)
        facts = {"rates": rates[name], "first_seconds": first[name], "same": same, "ratio": ratio, "peak_bytes": peak}
        results.append({"beam": settings["beam"], "side": name, **facts})
        worker.end()
    return results


def main() -> None:
    options = parse()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])  # what is started has it from here
    with tempfile.TemporaryDirectory() as folder:
        settings = {name: getattr(options, name) for name in ("run", "data", "batch", "length", "threads")}
        settings |= {"folder": folder, "beam": 0}
        run([sys.executable, str(HERE / "answers_lmtool.py"), json.dumps({**settings, "work": "write"})])
        results = [one for beam in options.beams for one in compare({**settings, "beam": beam}, options)]
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
