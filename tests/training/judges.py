"""Rewards that are functions, the smallest network to learn from them, and datasets of a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lmtool.config import DataConfig, choose
from lmtool.data.dataset import Dataset
from lmtool.data.prepare import build, make_plan
from lmtool.raw_config import Raw
from lmtool.registry import Registry


class Memoryless(nn.Module):
    """The smallest backbone: each state depends on one token. It compiles fast."""

    features: int = 8

    def initial_carry(self, batch_size: int, input_size: int) -> Any:
        return ()

    @nn.compact
    def __call__(self, x: Any, mask: Any, carry: Any, *, train: bool) -> Any:
        return jnp.tanh(nn.Dense(self.features)(x)), carry


class Judge:
    """Judges by a function; keeps what it was asked."""

    takes, names, signature = "texts", ("judged",), ""

    def __init__(self, judge: Callable[[str, Sequence[str]], float], *, judges_alone: bool = False) -> None:
        self._judge, self.judges_alone = judge, judges_alone
        self.asked: list[tuple[str, Sequence[str]]] = []

    def judge(self, hypothesis: str, references: Sequence[str]) -> float:
        self.asked.append((hypothesis, references))
        return self._judge(hypothesis, references)


def lines_dataset(folder: Path, **splits: Sequence[str]) -> Dataset:
    """A dataset of words, of these lines in each split."""
    for name, lines in splits.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    registry = Registry(third_party=False)
    tokenizer = choose(Raw({"tokenizer": {"name": "word"}}), "tokenizer", registry)
    data = DataConfig.model_validate({name: [str(folder / f"{name}.txt")] for name in splits})
    return build(make_plan(data, tokenizer, registry), folder / "dataset", force=True)
