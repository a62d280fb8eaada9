"""Which output layer a config asks for, and what it must know of the training text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.tasks.output import FullSoftmax

if TYPE_CHECKING:
    from lmtool.data.dataset import Split
    from lmtool.tasks.config import LMConfig
    from lmtool.tasks.output import OutputLayer

READ_AT_ONCE = 1 << 20
"""Ids: 4 MiB."""


def learn_output_layer(config: LMConfig, vocab_size: int, embedding_size: int, split: Split) -> OutputLayer:
    """For training.

    Args:
        config: Of the task.
        vocab_size: V.
        embedding_size: E.
        split: The training text: its counts rank tokens and propose samples.

    Raises:
        ConfigError: if `cutoffs` do not fit the vocabulary.
    """
    if config.softmax == "full":
        return FullSoftmax(vocab_size, embedding_size, config.tied)
    counts = count_ids(split, vocab_size)
    if config.softmax == "sampled":
        from lmtool.tasks.sampled import SampledSoftmax

        return SampledSoftmax(vocab_size, embedding_size, config.tied, config.num_samples, counts)
    return _adaptive(config, vocab_size, embedding_size, ranks_of(counts))


def load_output_layer(
    config: LMConfig, vocab_size: int, embedding_size: int, constants: dict[str, Any]
) -> OutputLayer | None:
    """For evaluation, from the `constants` of the trained layer; None if they are damaged."""
    if config.softmax != "adaptive":
        return None if constants else FullSoftmax(vocab_size, embedding_size, config.tied)
    ranks = constants.get("ranks")
    if ranks is None or not np.array_equal(np.sort(ranks), np.arange(vocab_size)):
        return None
    return _adaptive(config, vocab_size, embedding_size, ranks.astype(np.int32))


def _adaptive(config: LMConfig, vocab_size: int, embedding_size: int, ranks: np.ndarray) -> OutputLayer:
    from lmtool.tasks.adaptive import AdaptiveSoftmax

    cutoffs = tuple(config.cutoffs) or (max(1, vocab_size // 16), max(2, vocab_size // 3))
    return AdaptiveSoftmax(vocab_size, embedding_size, config.tied, cutoffs, config.tail_division, ranks)


def count_ids(split: Split, vocab_size: int) -> np.ndarray:
    """int64 [V]: how often each id occurs."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, split.num_tokens, READ_AT_ONCE):
        ids = split.read(start, min(start + READ_AT_ONCE, split.num_tokens))
        counts += np.bincount(ids, minlength=vocab_size)
    return counts


def ranks_of(counts: np.ndarray) -> np.ndarray:
    """int32 [V]: 0 for the most frequent id; ids decide ties."""
    ranks = np.empty(len(counts), np.int32)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts), dtype=np.int32)
    return ranks


__all__ = ["count_ids", "learn_output_layer", "load_output_layer", "ranks_of"]
