"""Our side of `classify.py`. "train" is the run of `lmtool train` itself, which waits for its turn between steps;
"predict" gives the task's classifier the test documents as `lmtool eval` does; "write" leaves batches to the
peers.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from classify_batches import CHUNK, sorted_batches, training_batches, write
from neural_lm_lmtool import Turns

from lmtool.config import RunConfig, load_config
from lmtool.data.dataset import Dataset
from lmtool.data.prepare import prepare
from lmtool.heap import keep_heap
from lmtool.jax_setup import prepare_jax
from lmtool.registry import Registry
from lmtool.training import train

Opened = tuple[RunConfig, Dataset, Registry]


def flags(settings: dict[str, Any]) -> dict[str, Any]:
    """What the config of the run says: the recipe, and nothing between its steps."""
    return {
        "data.path": settings["dataset"],
        "task.name": "classify",
        "task.embedding_size": settings["size"],
        "task.pooling": ["last"],
        "task.dropout": 0.0,
        "task.keep": "tail",
        "task.line_ends": False,
        "task.max_length": settings["max_length"],
        "model.name": "lstm",
        "model.hidden_size": settings["size"],
        "model.num_layers": 1,
        "optimizer.name": "adamw",
        "optimizer.learning_rate": settings["learning_rate"],
        "training.precision": settings["precision"],
        "training.batch_size": settings["batch"],
        "training.max_grad_norm": settings["max_grad_norm"],
        "training.epochs": 10**6,
        "training.eval_every": 10**9,
        "training.checkpoint_every": 10**9,
    }


def opened(settings: dict[str, Any]) -> Opened:
    registry = Registry(third_party=False)
    config = load_config(None, registry, flags=flags(settings), overrides=settings["set"])
    return config, prepare(config.data, config.tokenizer, registry, lambda phase, fraction: None), registry


def task_of(config: RunConfig, dataset: Dataset) -> Any:
    backbone = config.model.load()(config.model.config)
    return config.task.load()(config.task.config, dataset=dataset, backbone=backbone, training=config.training)


def train_in_turns(settings: dict[str, Any]) -> None:
    config, dataset, registry = opened(settings)
    # In the folder that whoever started this removes: it ends between two steps, without cleaning up.
    folder = tempfile.mkdtemp(dir=settings["folder"])
    train(config, dataset, Path(folder) / "run", registry, stop=Turns())


def predict_in_turns(settings: dict[str, Any]) -> None:
    """With untrained parameters: they take as long."""
    prepare_jax()
    import jax

    config, dataset, _ = opened(settings)
    task, split = task_of(config, dataset), dataset.split("test")
    classifier = task.predictor(task.init(jax.random.key(0)))

    def chunks() -> Iterator[Any]:
        while True:
            documents = split.documents()
            while chunk := list(islice(documents, CHUNK)):
                yield chunk

    found = chunks()
    for line in sys.stdin:
        turn = [next(found) for _ in range(int(line))]
        start = time.perf_counter()
        for chunk in turn:
            classifier.log_probs(chunk)
        print(json.dumps({"total": time.perf_counter() - start}), flush=True)


def write_batches(settings: dict[str, Any]) -> None:
    """Prints the widths, the share of padding, after how many steps each width was there, and what batches hold."""
    config, dataset, _ = opened(settings)
    task = task_of(config, dataset)
    widths = [task.batch(step)["inputs"].shape[1] for step in range(task.steps_per_epoch)]
    first = max(widths.index(width) for width in set(widths)) + 1
    training = list(training_batches(task, first + settings["steps"]))
    test = list(sorted_batches(dataset.split("test"), task.batches.cutter, settings["batch"]))
    folder = Path(settings["folder"])
    write(folder / "train.npz", training)
    write(folder / "test.npz", test)
    facts = {
        "widths": sorted(set(widths)),
        "padding": float(task.batches.padding),
        "first": first,
        "training": [len(batch.lengths) for batch in training],
        "test": [len(batch.lengths) for batch in test],
        "vocab": dataset.vocab_size,
        "classes": len(dataset.label_names),
        "filler": dataset.eos_id,
    }
    print(json.dumps(facts), flush=True)


def main() -> None:
    settings = json.loads(sys.argv[1])
    os.environ["JAX_PLATFORMS"] = "cpu"
    keep_heap()  # as `lmtool train` does
    {"train": train_in_turns, "predict": predict_in_turns, "write": write_batches}[settings["work"]](settings)


if __name__ == "__main__":
    main()
