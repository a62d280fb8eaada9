"""A recipe and variants of it side by side, over several seeds: what each part brings, which optimizer does better.

    python benchmarks/variants.py PLAN.toml --data DATASET -o FOLDER --seeds 5 --on valid

PLAN.toml names the recipe and what is changed, as `lmtool train --set` would:

    config = "configs/20news-lstm.toml"
    set = ["training.epochs=5"]     # in all of them
    posterior = 16            # draws, where an optimizer leaves a posterior; none if left out

    [variants]
    "no dropout" = ["task.dropout=0.0"]
    "vadg" = ["optimizer={name='vadg'}"]

Each variant is trained with each seed, and compared with the unchanged recipe of the same seed, on the same text. A
training that is in FOLDER already is not repeated; runs are not kept. ± is the standard deviation over seeds, the
interval that of the mean difference by Student's t, 95 %. Seeds say how much chance in training matters, not how much
the text does: of classifiers the standard error of that is given below the table.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TID253 - a program of its own

from lmtool.config import EvaluationConfig, load_config
from lmtool.data.dataset import Dataset
from lmtool.devices import DeviceOptions
from lmtool.evaluation import evaluate, make_evaluators
from lmtool.evaluation.classes import evaluate_classes
from lmtool.posterior import Samples, has_posterior, sampled_classifier, sampled_language_model
from lmtool.registry import Registry
from lmtool.signals import StopRequest
from lmtool.training import train

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.data.dataset import Split
    from lmtool.run import Run

    Figures = dict[str, float]

RECIPE = "the recipe"
SHOWN = {"classes": ("accuracy", "log_loss", "ece", "brier"), "tokens": ("token_perplexity", "nats_per_token")}
"""Figures of a table; the first is compared."""
DIGITS = {"token_perplexity": 2}


@dataclass(frozen=True)
class Bench:
    """What all trainings share."""

    plan: dict[str, Any]
    dataset: Dataset
    split: str
    folder: Path
    registry: Registry
    devices: DeviceOptions

    def figures(self, name: str, settings: Sequence[str], seed: int) -> dict[str, Figures]:
        """Of one training, by what it is called: at its weights, and on average over draws from its posterior."""
        overrides = [*self.plan.get("set", []), *settings, f"training.seed={seed}"]
        done = self.folder / f"{name.replace('/', '-')}-{seed}.json"
        key = {
            "config": Path(self.plan["config"]).read_text("utf-8"),
            "set": overrides,
            "posterior": self.plan.get("posterior"),
            "dataset": self.dataset.key,
            "on": self.split,
        }
        if done.exists() and (record := json.loads(done.read_text("utf-8")))["key"] == key:
            found: dict[str, Figures] = record["figures"]
            return found
        found = self._trained(name, overrides, done.with_suffix(""))
        done.write_text(json.dumps({"key": key, "figures": found}), "utf-8")
        return found

    def _trained(self, name: str, overrides: Sequence[str], folder: Path) -> dict[str, Figures]:
        flags = {"data.path": str(self.dataset.path)}
        config = load_config(self.plan["config"], self.registry, flags=flags, overrides=overrides)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with StopRequest() as stop:
            run = train(config, self.dataset, folder, self.registry, stop=stop, devices=self.devices)
        split = self.dataset.split(self.split)
        found = {name: _evaluated(run, split, self.registry)}
        if (draws := self.plan.get("posterior")) and has_posterior(run):
            found[f"{name}, {draws} draws"] = _evaluated(run, split, self.registry, Samples(draws, 0))
        shutil.rmtree(folder)
        return found


def _evaluated(run: Run, split: Split, registry: Registry, samples: Samples | None = None) -> Figures:
    """At the run's weights, or on average over draws from its posterior."""
    if run.predicts == "classes":
        config = EvaluationConfig(evaluators=["classification", "log-loss", "calibration"])
        classifier = run.classifier()
        if samples:
            classifier = sampled_classifier(run, classifier, samples)
        judges = make_evaluators(config, registry, takes="classes")
        metrics = evaluate_classes(classifier, split, judges).metrics
    else:
        config = EvaluationConfig()
        model = run.language_model()
        if samples:
            model = sampled_language_model(run, model, samples)
        judges = make_evaluators(config, registry)
        metrics = evaluate(model, split, run.tokenizer, judges, config=config).metrics
    return {name: metrics[name].value for name in SHOWN[run.predicts] if name in metrics}


def main() -> None:
    options = _options()
    plan = tomllib.loads(options.plan.read_text("utf-8"))
    bench = Bench(
        plan, Dataset.open(options.data), options.on, options.output, Registry(), DeviceOptions(options.devices)
    )
    variants: dict[str, list[str]] = {RECIPE: [], **plan["variants"]}
    found: dict[str, list[Figures]] = {}
    for seed in range(options.seeds):
        for name, settings in variants.items():
            for called, figures in bench.figures(name, settings, seed).items():
                shown = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
                print(f"{called}, seed {seed}: {shown}", flush=True)
                found.setdefault(called, []).append(figures)
    _show(found)
    if "accuracy" in found[RECIPE][0]:
        right = np.mean([one["accuracy"] for one in found[RECIPE]])
        documents = bench.dataset.split(options.on).num_documents
        print(f"\n{documents} documents: their own standard error is {math.sqrt(right * (1 - right) / documents):.4f}.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--on", default="valid")
    parser.add_argument("--devices", type=int, help="as of lmtool train")
    return parser.parse_args()


def _show(found: dict[str, list[Figures]]) -> None:
    """As a table in Markdown, the variants in their order, each followed by what its posterior gives."""
    names = list(found[RECIPE][0])
    print(f"\n| {' | '.join(['', names[0], 'difference, 95 % interval', *names[1:]])} |")
    print("|---" * (len(names) + 2) + "|")
    first = _values(found[RECIPE], names[0])
    for called, figures in found.items():
        digits = DIGITS.get(names[0], 4)
        change = "" if called == RECIPE else _interval(_values(figures, names[0]) - first, digits)
        rest = [_mean(_values(figures, name), DIGITS.get(name, 4)) for name in names[1:]]
        print(f"| {' | '.join([called, _mean(_values(figures, names[0]), digits), change, *rest])} |")


def _values(figures: Sequence[Figures], name: str) -> np.ndarray:
    return np.array([one[name] for one in figures])


def _mean(values: np.ndarray, digits: int) -> str:
    mean = f"{values.mean():.{digits}f}"
    return f"{mean} ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else mean


def _interval(differences: np.ndarray, digits: int) -> str:
    from scipy.stats import t

    n, mean = len(differences), differences.mean()
    if n == 1:
        return f"{mean:+.{digits}f}"
    half = t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    return f"{mean:+.{digits}f} ({mean - half:+.{digits}f} to {mean + half:+.{digits}f})"


if __name__ == "__main__":
    main()
