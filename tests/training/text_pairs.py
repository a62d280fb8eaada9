"""Datasets of pairs: words, and the same words in another order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from lmtool.config import DataConfig, choose
from lmtool.data.dataset import Dataset
from lmtool.data.prepare import build, make_plan
from lmtool.raw_config import Raw
from lmtool.registry import Registry

WORDS = ["ant", "bee", "cat", "dog", "elk", "fox"]


def reversed_words(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Documents of 1 to 5 words, and as `target` the same words backwards."""
    rng = random.Random(seed)
    chosen = [rng.choices(WORDS, k=1 + number % 5) for number in range(count)]
    return [{"text": " ".join(words), "target": " ".join(reversed(words))} for words in chosen]


def dataset_of(folder: Path, records: dict[str, list[dict[str, str]]], **data: Any) -> Dataset:
    """A dataset of words, from the records of each split; `data` are settings of `[data]`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in records.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files: dict[str, Any] = {name: [str(folder / f"{name}.jsonl")] for name in records}
    registry = Registry(third_party=False)
    tokenizer = choose(Raw({"tokenizer": {"name": "word"}}), "tokenizer", registry)
    config = DataConfig.model_validate({**files, "target": "target", **data})
    return build(make_plan(config, tokenizer, registry), folder / "dataset", force=True)
