"""Choosing the sizes of a step on held-out text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.errors import DataError
from lmtool_dynamic.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lmtool.api import AdaptableModel
    from lmtool.data.dataset import Dataset, Split
    from lmtool_dynamic.adapting import Adapting

RUNAWAY = 1000.0
"""Nats per token; weights that ran away give still less, if anything."""
WINDOW = 1000
"""Tokens that are read between two reports."""


def held_out(dataset: Dataset) -> Split:
    """The `valid` split. Raises DataError if there is none, or it is empty."""
    if "valid" not in dataset.split_names or not dataset.split("valid").num_tokens:
        hint = (
            "`lmtool tokenize --valid FILE …` adds one, or `--set model.learning_rate=X` and `--set model.decay=Y` "
            "give the sizes"
        )
        raise DataError(f"{dataset.path} has no valid split to choose the sizes of a step on", hint)
    return dataset.split("valid")


def segments(split: Split, length: int, num_tokens: int) -> Iterator[np.ndarray]:
    """int32 [1, T] each, from the start of a split on: whole ones, or the one that there is if it is shorter."""
    total = min(split.num_tokens, num_tokens)
    for start in range(0, max(total - length, 0) + 1, length):
        yield split.read(start, min(start + length, split.num_tokens))[None].astype(np.int32)


def shown(pieces: Iterable[np.ndarray], progress: Callable[[int], None]) -> Iterator[np.ndarray]:
    """The same arrays; `progress` is called with the number of tokens so far."""
    done = 0
    for piece in pieces:
        yield piece
        done += piece.size
        progress(done)


def tried(
    models: Sequence[Adapting], dataset: Dataset, num_tokens: int, progress: Callable[[float], None]
) -> list[dict[str, float | None]]:
    """What each gives to the first tokens of the `valid` split: its rule, and `nats` per token, None if it ran away.

    First comes what the trained weights give as they are, a rule of zeros.
    """
    split = held_out(dataset)
    ids = split.read(0, min(num_tokens, split.num_tokens))[None]
    found: list[dict[str, float | None]] = [{**Rule(0.0, 0.0)._asdict(), "nats": nats(models[0].model, ids)}]
    for number, model in enumerate(models):
        report = partial(_report, progress, number, len(models))
        found.append({**model.rule._asdict(), "nats": nats(model, ids, report)})
    return found


def _report(progress: Callable[[float], None], done: int, of: int, part: float) -> None:
    progress((done + part) / of)


def nats(
    model: Adapting | AdaptableModel, ids: np.ndarray, progress: Callable[[float], None] = lambda fraction: None
) -> float | None:
    """Per token of `ids` [1, T]; None if that is no number, or beyond reason."""
    state: Any = model.initial_state(1)
    total = 0.0
    for start in range(0, ids.shape[1], WINDOW):
        scores: np.ndarray
        scores, state = model.score(ids[:, start : start + WINDOW], state)
        total -= float(np.sum(scores, dtype=np.float64))
        if not total < RUNAWAY * ids.shape[1]:
            return None
        progress(min((start + WINDOW) / ids.shape[1], 1.0))
    return float(total / ids.shape[1])
