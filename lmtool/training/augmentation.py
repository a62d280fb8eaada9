"""The augmentations that a config names, as one function of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool.config import choose_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from lmtool.array_types import Stream
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry


def make_augmentations(
    settings: Sequence[str | Mapping[str, Any]], dataset: Dataset, registry: Registry
) -> Callable[[Stream, np.random.Generator], Stream] | None:
    """All that `training.augment` asks for, one after the other; None if that is nothing.

    Args:
        settings: Names, or tables with settings.
        dataset: Whose training split they may learn from.
        registry: Where they are looked up.

    Returns:
        Ids of a document, int32 [N], `eos_id` after each line, and the only source of chance, to other ids: a pure
        function. Called with `np.random.default_rng([seed, epoch, document, 1])`, it keeps a batch a pure function of
        the seed and the step.
    """
    choices = [choose_inline("augmentation", one, registry, "training.augment") for one in settings]
    made = [choice.load()(choice.config, dataset=dataset) for choice in choices]

    def augment(ids: Stream, rng: np.random.Generator) -> Stream:
        for one in made:
            ids = one(ids, rng)
        return ids

    return augment if made else None


__all__ = ["make_augmentations"]
