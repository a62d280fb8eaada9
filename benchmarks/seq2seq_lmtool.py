"""Our side of `seq2seq.py`. "train" is the run of `lmtool train` itself, which waits for its turn between steps;
"decode" asks the task's model for answers as `lmtool predict` does; "write" leaves batches to the peer.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253 - a program of its own
from neural_lm_lmtool import Turns

from lmtool.config import RunConfig, load_config
from lmtool.data.dataset import Dataset
from lmtool.data.prepare import prepare
from lmtool.heap import keep_heap
from lmtool.jax_setup import prepare_jax
from lmtool.registry import Registry
from lmtool.settings import DecodingConfig
from lmtool.training import train


def flags(settings: dict[str, Any]) -> dict[str, Any]:
    """What the config of the run says: the recipe, and nothing between its steps."""
    size = settings["size"]
    return {
        "data.path": settings["dataset"],
        "task.name": "seq2seq",
        "task.encoder": {"name": "gru", "hidden_size": size, "num_layers": 1, "bidirectional": True},
        "task.embedding_size": size,
        "task.attention": "general",
        "task.dropout": settings["dropout"],
        "task.line_ends": False,
        "model.name": "gru",
        "model.hidden_size": size,
        "model.num_layers": 1,
        "optimizer.name": "adamw",
        "optimizer.learning_rate": settings["learning_rate"],
        "training.batch_size": settings["batch"],
        "training.max_grad_norm": settings["max_grad_norm"],
        "training.epochs": 10**6,
        "training.eval_every": 10**9,
        "training.checkpoint_every": 10**9,
    }


def opened(settings: dict[str, Any]) -> tuple[RunConfig, Dataset, Registry]:
    registry = Registry(third_party=False)
    config = load_config(None, registry, flags=flags(settings), overrides=settings["set"])
    return config, prepare(config.data, config.tokenizer, registry, lambda phase, fraction: None), registry


def task_of(config: RunConfig, dataset: Dataset) -> Any:
    assert config.encoder is not None
    backbone, encoder = (one.load()(one.config) for one in (config.model, config.encoder))
    made_with = {"dataset": dataset, "backbone": backbone, "encoder": encoder, "training": config.training}
    return config.task.load()(config.task.config, **made_with)


def train_in_turns(settings: dict[str, Any]) -> None:
    config, dataset, registry = opened(settings)
    # In the folder that whoever started this removes: it ends between two steps, without cleaning up.
    folder = tempfile.mkdtemp(dir=settings["folder"])
    train(config, dataset, Path(folder) / "run", registry, stop=Turns())


def decode_in_turns(settings: dict[str, Any]) -> None:
    """With untrained parameters, whose answers hardly ever end by themselves: all have the same length."""
    prepare_jax()
    import jax

    config, dataset, _ = opened(settings)
    task = task_of(config, dataset)
    model = task.predictor(task.init(jax.random.key(0)))
    how = DecodingConfig.model_validate({"beam": settings["beam"], "max_length": settings["length"]})
    documents = cycle(dataset.split("test").documents())
    for line in sys.stdin:
        turn = list(islice(documents, int(line) * settings["batch"]))
        start = time.perf_counter()
        model.generate(turn, how)
        print(json.dumps({"total": time.perf_counter() - start}), flush=True)


def write_batches(settings: dict[str, Any]) -> None:
    """Prints after how many steps each shape was there, and how many target tokens batches hold."""
    config, dataset, _ = opened(settings)
    task = task_of(config, dataset)
    shapes = {(bucket.target_width, bucket.source_width) for bucket in task.batches.buckets}
    seen: dict[tuple[int, int], int] = {}
    training: list[dict[str, np.ndarray]] = []
    first = 0
    while not first or len(training) < first + settings["steps"]:
        training.append(_for_peer(task.batch(len(training))))
        seen.setdefault((training[-1]["targets"].shape[1], training[-1]["source"].shape[1]), len(training))
        if not first and len(seen) == len(shapes):
            first = len(training)
    test = list(_test_batches(task, dataset, settings["batch"]))
    for name, batches in (("train", training), ("decode", test)):
        arrays = {f"{key}_{i}": array for i, batch in enumerate(batches) for key, array in batch.items()}
        np.savez(Path(settings["folder"]) / f"{name}.npz", **arrays)
    tokens = [int(batch["mask"].sum()) for batch in training]
    facts = {"first": first, "tokens": tokens, "test": len(test), "shapes": len(seen), "vocab": dataset.vocab_size}
    print(json.dumps({**facts, "eos_id": dataset.eos_id, "padding": float(task.batches.padding)}), flush=True)


def _for_peer(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without rows that hold no pair, whose mask is empty."""
    real = batch["mask"].any(axis=1)
    return {
        "source": batch["source"][real].astype(np.int64),
        "lengths": batch["source_mask"][real].sum(axis=1),
        "targets": batch["targets"][real].astype(np.int64),
        "mask": batch["mask"][real],
    }


def _test_batches(task: Any, dataset: Dataset, size: int) -> Any:
    """The test documents by length, padded to the longest of a batch."""
    documents = [task.pairs.cutter.windows(one.ids)[0] for one in dataset.split("test").documents()]
    documents.sort(key=len)
    for start in range(0, len(documents) - size + 1, size):
        rows = documents[start : start + size]
        lengths = np.array([len(ids) for ids in rows], np.int64)
        source = np.full((size, lengths.max()), dataset.eos_id, np.int64)
        for row, ids in enumerate(rows):
            source[row, : len(ids)] = ids
        yield {"source": source, "lengths": lengths}


def main() -> None:
    settings = json.loads(sys.argv[1])
    os.environ["JAX_PLATFORMS"] = "cpu"
    keep_heap()  # as `lmtool train` does
    {"train": train_in_turns, "decode": decode_in_turns, "write": write_batches}[settings["work"]](settings)


if __name__ == "__main__":
    main()
