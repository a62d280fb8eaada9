"""Text to text here and in PyTorch, in turns: target tokens per second of training, sentences per second of decoding.

    lmtool tokenize --tokenizer bpe --set tokenizer.vocab_size=8000 --reader jsonl \\
        --set data.reader.text_field=source --target target --train TRAIN --test TEST -o DATASET
    python benchmarks/seq2seq.py --data DATASET --torch-python torch-env/bin/python

The network is a bidirectional GRU over embedded source tokens, a GRU with Luong's general attention over embedded
target tokens, a tanh layer and a tied output over the vocabulary, learned with AdamW. lmtool is `lmtool train` itself,
its loop included, and the model that `lmtool eval` and `predict` ask for answers. PyTorch gets lmtool's batches
ready-made, but no rows without a pair; "packed" is PyTorch with packed sequences in the encoder, in the place of rows
turned around. Decoding is with untrained parameters, so that answers hardly ever end by themselves: each is `--length`
tokens long on all sides, in batches of test documents of like lengths, greedily and with a beam.

Each side is one process that lives through all rounds and sleeps while the others have their turn. The first turn, in
which ours compiles, is not counted. Rates are the median over the rounds; the ratio is the median over the rounds of
ours by the peer's, above 1 lmtool is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from classify import Side, is_ours
from neural_lm import HERE, MB, Worker
from processes import run

SIDES = {"torch": {"packed": False}, "torch packed": {"packed": True}}
WARM_UP = 3
"""Batches of the peer, which compiles nothing."""


def start(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Side]:
    sides = {"lmtool": Side(Worker(sys.executable, "seq2seq_lmtool.py", settings))}
    for name in options.sides if options.torch_python else []:
        sides[name] = Side(Worker(options.torch_python, "seq2seq_torch.py", {**settings, **SIDES[name]}))
    return sides


def in_turns(sides: dict[str, Side], amounts: list[int], first: int, steps: int) -> None:
    """Turns of so many steps, each of which is worth an amount."""
    for name, side in sides.items():
        side.worker.take(first if is_ours(name) else WARM_UP)
    for amount in amounts:
        for side in sides.values():
            side.rates.append(amount / side.worker.take(steps)["total"])
    for side in sides.values():
        side.peak_bytes = side.worker.peak()
        side.worker.end()


def show(what: str, unit: str, sides: dict[str, Side]) -> list[dict[str, Any]]:
    print(f"\n{what}\n  {'':14}{unit:>18}   (worst to best)    memory   lmtool is")
    results = []
    for name, side in sides.items():
        facts = side.facts(sides["lmtool"])
        rate = facts.pop("documents_per_second")
        results.append({"what": what, "side": name, "rates": side.rates, "rate": rate, **facts})
        ratio = "" if is_ours(name) else f"{facts['ratio']:7.2f} times as fast"
        spread = f"({facts['worst']:,.0f} to {facts['best']:,.0f})"
        print(f"  {name:14}{rate:18,.0f}{spread:>18}{facts['peak_bytes'] / MB:7,.0f} MB{ratio}", flush=True)
    return results


def measure(options: argparse.Namespace, settings: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    first, steps = facts["first"], options.steps
    if "training" not in options.skip:
        turns = [facts["tokens"][first + i * steps : first + (i + 1) * steps] for i in range(options.rounds)]
        sides = start(options, {**settings, "work": "train", "first": first})
        in_turns(sides, [sum(turn) for turn in turns], first, steps)
        what = f"training: {first} steps not counted, then {options.rounds} turns of {steps}"
        results += show(what, "target tokens/s", sides)
    batches = options.decode_batches
    for beam in [] if "decoding" in options.skip else options.beams:
        sides = start(options, {**settings, "work": "decode", "first": 0, "beam": beam})
        in_turns(sides, [batches * options.batch] * options.rounds, facts["test"], batches)
        what = f"decoding, beam {beam}: {options.rounds} turns of {batches * options.batch} sentences"
        results += show(what, "sentences/s", sides)
    return results


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Text to text here and in PyTorch, in turns.")
    parser.add_argument("--data", type=Path, required=True, help="dataset, made by `lmtool tokenize --target`")
    parser.add_argument("--torch-python", help="interpreter that has PyTorch")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES), help="beside lmtool")
    parser.add_argument("--skip", nargs="+", default=[], choices=["training", "decoding"])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--steps", type=int, default=20, help="of training in a turn")
    parser.add_argument("--decode-batches", type=int, default=4, help="of decoding in a turn")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--size", type=int, default=256, help="of embeddings, and of each GRU and direction")
    parser.add_argument("--batch", type=int, default=64, help="pairs")
    parser.add_argument("--length", type=int, default=16, help="tokens of an answer")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores that all sides may use")
    parser.add_argument("--set", action="append", default=[], help="of lmtool's config, as in `lmtool train --set`")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def main() -> None:
    options = parse()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])  # what is started has it from here
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **{name: getattr(options, name) for name in ("size", "batch", "length", "threads", "set")},
            "dataset": str(options.data),
            "folder": folder,
            "dropout": 0.2,
            "learning_rate": 0.001,
            "max_grad_norm": 1.0,
        }
        wanted = json.dumps({**settings, "work": "write", "steps": options.rounds * options.steps})
        facts = json.loads(run([sys.executable, str(HERE / "seq2seq_lmtool.py"), wanted]).output)
        print(f"embedding, GRUs and attention of {options.size}, {facts['vocab']:,} tokens; "
              f"{options.batch} pairs a step, {options.threads} threads\n"
              f"{facts['shapes']} shapes, {facts['padding']:.0%} padding")  # fmt: skip
        results = measure(options, settings | {name: facts[name] for name in ("vocab", "eos_id")}, facts)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
