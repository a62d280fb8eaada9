"""The embedding bag against fastText's supervised mode: whole commands, from a tokenized dataset or text to a model.

Both get the same documents, embedding size, epochs, buckets for word n-grams, n-grams, every word of the training text,
plain means of what is embedded, and the same cores. fastText gets its text as words in lower case, punctuation left
out; ours reads the text as it was written and finds the words itself. Accuracies on the test split stand beside the
times: fastText takes a step a document, without moments, and needs more epochs to learn as much. The first training of
ours, in which it compiles, is not counted.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neural_lm import MB
from processes import run

LEARNING_RATE = 0.5
"""Of fastText, whose default of 0.1 learns still less in so few epochs; it does not change the time."""
WORD = re.compile(r"[^\W_]+")


@dataclass
class Bag:
    """One side of a comparison."""

    command: list[str]
    evaluate: list[str]
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    def train(self) -> None:
        step = run(self.command)
        self.seconds.append(step.seconds)
        self.peaks.append(step.peak)


def compare_bags(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    if not options.fasttext:
        print("\nfastText is left out: its program was not given")
        return []
    documents = {split: write_text(options.data, split, folder) for split in ("train", "test")}
    return [compare(options, folder, ngrams, documents["train"]) for ngrams in options.word_ngrams]


def write_text(data: Path, split_name: str, folder: Path) -> int:
    """A dataset's documents in fastText's format; their number."""
    from lmtool.data.dataset import Dataset

    dataset = Dataset.open(data)
    split = dataset.split(split_name)
    with open(folder / f"{split_name}.txt", "w", encoding="utf-8") as file:
        for label, document in zip(split.label_ids, split.documents(), strict=True):
            file.write(" ".join([f"__label__{label}", *WORD.findall(document.text.lower())]) + "\n")
    return split.num_documents


def sides(options: argparse.Namespace, folder: Path, ngrams: int) -> dict[str, Bag]:
    lmtool = [sys.executable, "-m", "lmtool"]
    ours = {
        "dim": options.dim,
        "epochs": options.epochs,
        "buckets": options.buckets,
        "word_ngrams": ngrams,
        "min_count": 1,
        "weighting": "mean",
        "threads": options.threads,
    }
    settings = [part for key, value in ours.items() for part in ("--set", f"model.{key}={value}")]
    overrides = [part for one in options.set_bag for part in ("--set", one)]
    train = ["train", "--quiet", "--data", str(options.data), "--model", "bag", "--task", "classify", "--force"]
    bag = str(folder / f"bag-{ngrams}")
    theirs = {
        "-dim": options.dim,
        "-epoch": options.epochs,
        "-bucket": options.buckets,
        "-wordNgrams": ngrams,
        "-minCount": 1,
        "-thread": options.threads,
        "-lr": LEARNING_RATE,
        "-verbose": 0,
    }
    arguments = [str(part) for item in theirs.items() for part in item]
    model = str(folder / "fasttext")
    supervised = ["supervised", "-input", str(folder / "train.txt"), "-output", model]
    return {
        "lmtool": Bag([*lmtool, *train, *settings, *overrides, "-o", bag], [*lmtool, "eval", "--json", bag]),
        "fasttext": Bag(
            [options.fasttext, *supervised, *arguments],
            [options.fasttext, "test", f"{model}.bin", str(folder / "test.txt")],
        ),
    }


def compare(options: argparse.Namespace, folder: Path, ngrams: int, documents: int) -> dict[str, Any]:
    bags = sides(options, folder, ngrams)
    run(bags["lmtool"].command)
    for _ in range(options.bag_rounds):
        for bag in bags.values():
            bag.train()
    accuracies = {name: accuracy(run(bag.evaluate).output) for name, bag in bags.items()}
    ours, theirs = (bags[name].seconds for name in ("lmtool", "fasttext"))
    ratio = statistics.median(peer / one for one, peer in zip(ours, theirs, strict=True))
    result = {"what": "bag", "word_ngrams": ngrams, "ratio": ratio}
    print(f"\nembedding bag, n-grams up to {ngrams}: dim {options.dim}, {options.epochs} epochs, "
          f"{options.buckets:,} buckets, {options.threads} threads")  # fmt: skip
    for name, bag in bags.items():
        seconds = statistics.median(bag.seconds)
        read = documents * options.epochs / seconds
        result[name] = {"seconds": bag.seconds, "peak_bytes": max(bag.peaks), "accuracy": accuracies[name]}
        print(f"  {name:10}{seconds:7.2f} s{read:11,.0f} documents/s{max(bag.peaks) / MB:9,.0f} MB"
              f"   accuracy {accuracies[name]:.3f}")  # fmt: skip
    print(f"  ratio     {ratio:7.2f} times as fast", flush=True)
    return result


def accuracy(output: str) -> float:
    """Of what either side's evaluation prints."""
    if found := re.search(r"P@1\s+([\d.]+)", output):
        return float(found.group(1))
    return float(json.loads(output)["results"][0]["metrics"]["accuracy"]["value"])
