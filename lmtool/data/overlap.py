"""Documents whose text is in the training text, too: how well a model does on them says nothing of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.arrays import blocks, read_slice
from lmtool.data.documents import Documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


def documents_in_train(folder: Path, splits: Mapping[str, Any]) -> dict[str, int]:
    """How many documents of each other split have the text of a training document.

    Texts are equal if their hashes of 8 bytes are: of a million documents beside ten million, one is taken for another
    in one of two million datasets. Documents without a word are not counted.

    Args:
        folder: Holds the files of the splits.
        splits: Their entries in `dataset.json`, `train` among them.
    """
    learned = _hashes(folder, splits["train"])
    return {
        name: int(np.isin(_hashes(folder, entry), learned).sum()) for name, entry in splits.items() if name != "train"
    }


def _hashes(folder: Path, entry: dict[str, Any]) -> np.ndarray:
    """int64, one of each document with a word; good in this process alone."""
    files = Documents.of(folder, entry).files
    text, ends = files["text"].open(), np.array(files["text-ends"].open())
    every = _texts(blocks(lambda start, stop: read_slice(text, start, stop), ends))
    return np.fromiter((hash(one) for one in every if one and not one.isspace()), np.int64)


def _texts(read: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[bytes]:
    """One by one, as bytes: arrays of so few values would take longer to make than to read."""
    for values, cuts in read:
        data, start = values.tobytes(), 0
        for stop in cuts.tolist():
            yield data[start:stop]
            start = stop


__all__ = ["documents_in_train"]
