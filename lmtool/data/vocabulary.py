"""A dataset for a model that comes with its vocabulary: a tokenizer that was made of that, and text only if wanted."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from lmtool.data.dataset import FORMAT_VERSION, RECORD, Dataset
from lmtool.data.prepare import build, cached_path, make_plan
from lmtool.data.writer import write_record
from lmtool.files import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmtool.config import Choice, DataConfig
    from lmtool.data.progress import Progress
    from lmtool.registry import Registry


def dataset_of_words(
    words: Iterable[str], data: DataConfig, tokenizer: Choice, registry: Registry, progress: Progress
) -> Dataset:
    """A dataset in the user's cache, without training text.

    Args:
        words: What the tokenizer learns from, each word a line.
        data: Texts for validation and tests, or nothing.
        tokenizer: The choice of `[tokenizer]`.
        registry: Where readers are looked up.
        progress: Called with a phase and the fraction of it done.

    Raises:
        DataError: if a text is missing, damaged or empty.
    """
    progress("learning the vocabulary", 0.0)
    made, found = tokenizer.load().train(words, tokenizer.config), tokenizer.found
    if data.valid or data.test:
        plan = make_plan(data, None, registry, ready=(made, found))
        return build(plan, cached_path(plan.key), force=True, progress=progress)
    contents = ["vocabulary", FORMAT_VERSION, found.record(), made.fingerprint]
    key = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    path = cached_path(key)
    if not (path / RECORD).is_file():
        with atomic_folder(path, replace=path.exists()) as folder:
            write_record(folder, made, found, tokenizer.config.model_dump(mode="json"), key, {})
    return Dataset.open(path, registry)


__all__ = ["dataset_of_words"]
