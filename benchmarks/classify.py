"""Text classifiers here, in PyTorch, in Keras and in fastText, in turns: documents per second.

    lmtool tokenize --tokenizer word --set tokenizer.vocab_size=20000 --set tokenizer.lowercase=true \\
        --set tokenizer.punctuation=drop --label label --train TRAIN --test TEST -o DATASET
    python benchmarks/classify.py --data DATASET --torch-python torch-env/bin/python \\
        --keras-python tf-env/bin/python --fasttext fastText/fasttext

The network is embedding, LSTM, and classes from its last state, learned with Adam. All sides read the same documents of
the dataset, cut to the same tokens. lmtool is `lmtool train` itself, its loop included, and the classifier that `lmtool
eval` and `predict` use. PyTorch gets lmtool's batches ready-made: the same buckets of like lengths, the same padding,
but no rows without a document; "padded" is PyTorch with every document at the same width, which is also what Keras
reads, as `pad_sequences` and `fit` have it. For predicting PyTorch gets 1,024 documents at a time sorted by length.

Each side is one process that lives through all rounds and sleeps while the others have their turn. The first turn, in
which ours compiles, is not counted. Documents per second are the median over the rounds; the ratio is the median over
the rounds of ours by the peer's, above 1 lmtool is faster. Last comes the embedding bag against fastText's supervised
mode, see `classify_bag.py`. Peers whose program is not given are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classify_bag import compare_bags
from neural_lm import HERE, MB, Worker
from processes import run

CHUNK = 1024
"""Documents of a step of predicting; `classify_batches.py`, which needs numpy, has it, too."""
WARM_UP = 3
"""Batches of those that need not compile one function a width."""


@dataclass
class Side:
    """A process and what was measured of it."""

    worker: Worker
    rates: list[float] = field(default_factory=list)
    """Documents per second of each turn."""
    peak_bytes: int = 0

    def facts(self, ours: Side) -> dict[str, float]:
        pairs = zip(ours.rates, self.rates, strict=True)
        return {
            "documents_per_second": statistics.median(self.rates),
            "best": max(self.rates),
            "worst": min(self.rates),
            "ratio": statistics.median(one / peer for one, peer in pairs),
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class Plan:
    """How much each turn has, in documents, and what a side calls that."""

    turns: list[int]
    first: int
    """Steps of warming up here; then the turns begin."""
    steps: int
    peer_steps: int


def in_turns(sides: dict[str, Side], plan: Plan) -> None:
    for name, side in sides.items():
        side.worker.take(plan.first if is_ours(name) else WARM_UP)
    for documents in plan.turns:
        for name, side in sides.items():
            answer = side.worker.take(plan.steps if is_ours(name) else plan.peer_steps)
            side.rates.append(documents / answer["total"])
    for side in sides.values():
        side.peak_bytes = side.worker.peak()
        side.worker.end()


def is_ours(name: str) -> bool:
    return name.startswith("lmtool")


def start(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Side]:
    """Those that were asked for and can run."""
    training = settings["work"] == "train"
    ours, torch, keras = sys.executable, options.torch_python, options.keras_python
    known: dict[str, tuple[str | None, str, dict[str, Any]]] = {
        "lmtool": (ours, "classify_lmtool.py", {}),
        "lmtool bfloat16": (ours if training else None, "classify_lmtool.py", {"precision": "bfloat16"}),
        "torch": (torch, "classify_torch.py", {}),
        "torch bfloat16": (torch if training else None, "classify_torch.py", {"precision": "bfloat16"}),
        "torch padded": (torch, "classify_torch.py", {"padded": True}),
        "keras": (keras, "classify_keras.py", {}),
    }
    return {
        name: Side(Worker(python, file, {**settings, **special}))
        for name, (python, file, special) in known.items()
        if python and (name in options.sides or name == "lmtool")
    }


def measure(options: argparse.Namespace, settings: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]]:
    steps, first = options.steps, facts["first"]
    turns = [facts["training"][first + i * steps : first + (i + 1) * steps] for i in range(options.rounds)]
    training = Plan([sum(turn) for turn in turns], first, steps, steps)
    sides = start(options, {**settings, "work": "train", "first": first})
    in_turns(sides, training)
    results = show("training", sides, f"{first} steps not counted, then {options.rounds} turns of {steps}")

    # Only whole chunks, after whose last one documents begin anew; all of them once before, for what is compiled.
    per_chunk = -(-CHUNK // settings["batch"])
    chunks = len(facts["test"]) // per_chunk
    if CHUNK % settings["batch"] or options.rounds > chunks - 1:
        sys.exit(f"predicting needs batches that divide {CHUNK}, and a round less than its {chunks} chunks")
    sides = start(options, {**settings, "work": "predict", "first": per_chunk})
    in_turns(sides, Plan([CHUNK] * options.rounds, 1, 1, per_chunk))
    return results + show("predicting", sides, f"{options.rounds} turns of {CHUNK} documents")


def show(what: str, sides: dict[str, Side], turns: str) -> list[dict[str, Any]]:
    print(f"\n{what}: {turns}\n  {'':18}documents/s   (worst to best)    memory   lmtool is")
    results = []
    for name, side in sides.items():
        peer = side.facts(sides["lmtool bfloat16" if "bfloat16" in name and "lmtool bfloat16" in sides else "lmtool"])
        results.append({"what": what, "side": name, "rates": side.rates, **peer})
        ratio = "" if is_ours(name) else f"{peer['ratio']:7.2f} times as fast"
        spread = f"({peer['worst']:,.0f} to {peer['best']:,.0f})"
        print(
            f"  {name:18}{peer['documents_per_second']:11,.0f}{spread:>18}{peer['peak_bytes'] / MB:7,.0f} MB{ratio}",
            flush=True,
        )
    return results


SIDES = ["lmtool", "lmtool bfloat16", "torch", "torch bfloat16", "torch padded", "keras"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Text classifiers here and elsewhere, in turns.")
    parser.add_argument("--data", type=Path, required=True, help="labelled dataset, made by `lmtool tokenize --label`")
    parser.add_argument("--torch-python", help="interpreter that has PyTorch")
    parser.add_argument("--keras-python", help="interpreter that has TensorFlow with Keras")
    parser.add_argument("--fasttext", help="fastText's program")
    parser.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES, help="of the LSTM; lmtool is always there")
    parser.add_argument("--skip", nargs="+", default=[], choices=["lstm", "bag"])
    parser.add_argument("--rounds", type=int, default=6, help="turns of each side")
    parser.add_argument("--steps", type=int, default=12, help="of training in a turn")
    parser.add_argument("--size", type=int, default=128, help="of embedding and LSTM")
    parser.add_argument("--batch", type=int, default=128, help="documents")
    parser.add_argument("--max-length", type=int, default=400, help="tokens that are read of a document, its last")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores that all sides may use")
    parser.add_argument("--dim", type=int, default=100, help="of the embedding bag")
    parser.add_argument("--epochs", type=int, default=5, help="of the embedding bag")
    parser.add_argument("--buckets", type=int, default=200_000, help="that word n-grams of the bag are hashed into")
    parser.add_argument("--word-ngrams", type=int, nargs="+", default=[1, 2], help="of the bag; each is a comparison")
    parser.add_argument("--bag-rounds", type=int, default=3, help="trainings of each bag")
    parser.add_argument("--set-bag", action="append", default=[], help="as --set, of the embedding bag's run")
    parser.add_argument("--set", action="append", default=[], help="of lmtool's config, as in `lmtool train --set`")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def write_batches(settings: dict[str, Any], steps: int) -> dict[str, Any]:
    wanted = json.dumps({**settings, "work": "write", "steps": steps})
    facts: dict[str, Any] = json.loads(run([sys.executable, str(HERE / "classify_lmtool.py"), wanted]).output)
    return facts


def compare_networks(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    settings = {
        **{name: getattr(options, name) for name in ("size", "batch", "max_length", "threads", "set")},
        "dataset": str(options.data),
        "folder": str(folder),
        "precision": "float32",
        "padded": False,
        "learning_rate": 0.001,
        "max_grad_norm": 1.0,
    }
    facts = write_batches(settings, options.rounds * options.steps)
    widths = ", ".join(map(str, facts["widths"]))
    print(f"embedding({facts['vocab']:,}, {options.size}), LSTM({options.size}), {facts['classes']} classes; "
          f"{options.batch} documents a step, {options.threads} threads")  # fmt: skip
    print(f"widths {widths}: {facts['padding']:.0%} padding")
    for name, given in (("PyTorch", options.torch_python), ("Keras", options.keras_python)):
        if not given:
            print(f"{name} is left out: no interpreter that has it was given")
    shared = {name: facts[name] for name in ("vocab", "classes", "filler")}
    return measure(options, settings | shared, facts)


def main() -> None:
    options = parse()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])  # what is started has it from here
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        if "lstm" not in options.skip:
            results += compare_networks(options, Path(folder))
        if "bag" not in options.skip:
            results += compare_bags(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
