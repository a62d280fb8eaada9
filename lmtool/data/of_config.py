"""The dataset that a run's config asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmtool.data.prepare import build, cached_path, make_plan, prepare
from lmtool.data.tokenizer_folder import open_target_tokenizer, open_tokenizer
from lmtool.data.vocabulary import dataset_of_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry


def dataset_of(config: RunConfig, registry: Registry, progress: Callable[[str, float], None]) -> Dataset:
    """What a run learns from: a dataset that is named, or raw text, tokenized once into the user's cache.

    A run that starts from another has the tokenizers of that. A model that is imported needs nothing but a vocabulary,
    and brings it itself.

    Raises:
        DataError: if the dataset or a source is missing, damaged or empty.
        UsageError: if there is neither dataset nor text, or both.
    """
    if config.init_from is not None and config.data.path is None:
        source = Path(config.init_from)
        ready, ready_target = open_tokenizer(source, registry), open_target_tokenizer(source, registry)
        plan = make_plan(config.data, None, registry, ready=ready, ready_target=ready_target)
        return build(plan, cached_path(plan.key), force=True, progress=progress)
    is_imported = "imported" in config.model.found.component.capabilities
    if not is_imported or config.tokenizer is None or config.data.train:
        return prepare(config.data, config.tokenizer, registry, progress)
    words = config.model.load()(config.model.config).vocabulary()
    return dataset_of_words(words, config.data, config.tokenizer, registry, progress)


__all__ = ["dataset_of"]
