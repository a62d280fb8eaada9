"""What each part of a recipe brings: the same training with one thing changed at a time, over several seeds.

    python benchmarks/ablation.py CHANGES.toml --data DATASET -o FOLDER --seeds 5 --on valid

CHANGES.toml names the recipe and what is changed, as `lmtool train --set` would:

    config = "configs/20news-lstm.toml"

    [changes]
    "no dropout" = ["task.dropout=0.0"]
    "pretrained" = ["model={init_from='runs/lm'}"]

Each change is trained with each seed, and compared with the unchanged recipe of the same seed, on the same documents.
A training that is in FOLDER already is not repeated. Accuracy and log loss are means over seeds; ± is the standard
deviation over seeds, the interval that of the mean difference by Student's t, 95 %. Seeds say how much chance in
training matters, not how much the documents do: the standard error of that is given below the table.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np  # noqa: TID253 - a program of its own

from lmtool.config import load_config
from lmtool.data.dataset import Dataset
from lmtool.evaluation.classes import class_predictions, is_right, nats
from lmtool.registry import Registry
from lmtool.signals import StopRequest
from lmtool.training import train

if TYPE_CHECKING:
    from collections.abc import Sequence

UNCHANGED = "the recipe"


@dataclass(frozen=True)
class Figures:
    """Of one training."""

    accuracy: float
    log_loss: float


def main() -> None:
    options = _options()
    plan = tomllib.loads(options.changes.read_text("utf-8"))
    registry, dataset = Registry(), Dataset.open(options.data)
    changes: dict[str, list[str]] = {UNCHANGED: [], **plan["changes"]}
    found: dict[str, list[Figures]] = {name: [] for name in changes}
    for seed in range(options.seeds):
        for name, settings in changes.items():
            overrides = [*plan.get("set", []), *settings, f"training.seed={seed}"]
            folder = options.output / f"{name.replace('/', '-')}-{seed}"
            figures = _figures(plan["config"], overrides, dataset, options.on, folder, registry)
            print(f"{name}, seed {seed}: {figures.accuracy:.4f}, {figures.log_loss:.4f}", flush=True)
            found[name].append(figures)
    _show(found, dataset.split(options.on).num_documents)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--on", default="valid")
    return parser.parse_args()


def _figures(
    config: str, overrides: Sequence[str], dataset: Dataset, split: str, folder: Path, registry: Registry
) -> Figures:
    """Of a training, which is done if it was not yet; its run is not kept."""
    done = folder.with_suffix(".json")
    key = {"config": Path(config).read_text("utf-8"), "set": list(overrides), "dataset": dataset.key, "on": split}
    if done.exists() and (record := json.loads(done.read_text("utf-8")))["key"] == key:
        return Figures(**record["figures"])
    resolved = load_config(config, registry, flags={"data.path": str(dataset.path)}, overrides=overrides)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with StopRequest() as stop:
        run = train(resolved, dataset, folder, registry, stop=stop)
    pieces = [piece for piece, _ in class_predictions(run.classifier(), dataset.split(split))]
    right, lost = (np.concatenate([function(piece) for piece in pieces]) for function in (is_right, nats))
    figures = Figures(float(right.mean()), float(lost.mean()))
    done.write_text(json.dumps({"key": key, "figures": vars(figures)}), "utf-8")
    shutil.rmtree(folder)
    return figures


def _show(found: dict[str, list[Figures]], documents: int) -> None:
    """As a table in Markdown."""
    base = np.array([one.accuracy for one in found[UNCHANGED]])
    print("\n| | accuracy | difference, 95 % interval | log loss |\n|---|---|---|---|")
    for name, figures in found.items():
        accuracy = np.array([one.accuracy for one in figures])
        log_loss = np.array([one.log_loss for one in figures])
        change = "" if name == UNCHANGED else _interval(accuracy - base)
        print(f"| {name} | {_mean(accuracy)} | {change} | {_mean(log_loss)} |")
    error = math.sqrt(base.mean() * (1 - base.mean()) / documents)
    print(f"\n{documents} documents: the standard error of an accuracy is {error:.4f} for these alone.")


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" if len(values) > 1 else f"{values.mean():.4f}"


def _interval(differences: np.ndarray) -> str:
    from scipy.stats import t

    n = len(differences)
    if n == 1:
        return f"{differences[0]:+.4f}"
    half = t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    return f"{differences.mean():+.4f} ({differences.mean() - half:+.4f} to {differences.mean() + half:+.4f})"


if __name__ == "__main__":
    main()
