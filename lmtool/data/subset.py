"""Some documents of a dataset as a dataset of its own: for folds, for learning curves, for a model of one class."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.api import Record
from lmtool.data.counts import count
from lmtool.data.dataset import RECORD, Dataset
from lmtool.data.labels import LabelIds
from lmtool.data.target_writer import TargetWriter
from lmtool.data.tokenizer_folder import FOLDER, TARGET_FOLDER
from lmtool.data.writer import DocumentWriter, SplitWriter, write_json
from lmtool.errors import DataError
from lmtool.files import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from lmtool.data.split import Split

BLOCK_IDS = 1 << 18
"""Ids that are held at once."""


def write_subset(
    dataset: Dataset, folder: Path, splits: Mapping[str, tuple[str, Iterable[int] | np.ndarray]]
) -> Dataset:
    """Write some documents of a dataset with labels or targets into a folder of its own, with the same tokenizers.

    Labels keep their ids, also where a class has no document in the subset. The same subset in the same place is left
    as it is.

    Args:
        dataset: Has labels or targets, hence the text of its documents.
        folder: The new one; it appears when it is complete.
        splits: For each split of the new dataset the split that its documents come from, and their numbers there, from
            0, in the order in which they are written.

    Raises:
        DataError: if the dataset has neither, a split would be empty, or something else is in the place.
        IndexError: if there is no document with a number.
    """
    chosen = {name: (source, np.asarray(numbers, np.int64)) for name, (source, numbers) in splits.items()}
    key = _key(dataset, chosen)
    if (folder / RECORD).is_file() and (existing := Dataset.open(folder, dataset._registry)).key == key:
        return existing
    with atomic_folder(folder) as scratch:
        for tokenizer in (FOLDER, TARGET_FOLDER) if dataset.has_target_tokenizer else (FOLDER,):
            shutil.copytree(dataset.path / tokenizer, scratch / tokenizer)
        entries = {name: _write(scratch, name, dataset, source, numbers) for name, (source, numbers) in chosen.items()}
        given: dict[str, Any] = {
            name: dataset.record[name] for name in ("tokenizer", "labels", "targets") if name in dataset.record
        }
        write_json(scratch, {"key": key, **given, "splits": entries})
    return Dataset.open(folder, dataset._registry)


def _key(dataset: Dataset, splits: Mapping[str, tuple[str, np.ndarray]]) -> str:
    contents = {
        "subset of": dataset.key,
        "splits": {name: [source, _digest(numbers)] for name, (source, numbers) in splits.items()},
    }
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _digest(numbers: np.ndarray) -> str:
    return hashlib.sha256(numbers.astype("<i8").tobytes()).hexdigest()


def _write(folder: Path, name: str, dataset: Dataset, source: str, numbers: np.ndarray) -> dict[str, Any]:
    split = dataset.split(source)
    _ = split.texts
    if not len(numbers):
        raise DataError(f"a subset of {dataset.path} would have no document in its {name} split")
    if numbers.min() < 0 or numbers.max() >= split.num_documents:
        raise IndexError(f"{dataset.path} {source} has {split.num_documents} documents, numbers are up to "
                         f"{numbers.max()}")  # fmt: skip
    with ExitStack() as stack:
        writer = SplitWriter(folder, name, dataset.vocab_size)
        stack.callback(writer.abandon)
        documents = DocumentWriter(folder, name, _label_ids(dataset))
        stack.callback(documents.abandon)
        targets = TargetWriter(folder, name, dataset.target_tokenizer) if split.has_targets else None
        if targets:
            stack.callback(targets.abandon)
        for block in _blocks(split, numbers):
            _write_documents(dataset, split, block, writer, documents)
            if targets:
                _write_targets(dataset, split, block, targets)
        origin = {"name": f"{dataset.path} {source}", "sha256": _digest(numbers), "reader": "subset",
                  "sources": _sources(dataset, source)}  # fmt: skip
        return {**writer.close([origin]), **documents.close(), **(targets.close() if targets else {})}


def _label_ids(dataset: Dataset) -> LabelIds | None:
    return LabelIds(dataset.labels.field, dataset.labels) if dataset.labels else None


def _write_documents(
    dataset: Dataset, split: Split, block: list[int], writer: SplitWriter, documents: DocumentWriter
) -> None:
    read = [split.document(number) for number in block]
    records = [
        Record(one.text, fields=_fields(dataset, split, number)) for one, number in zip(read, block, strict=True)
    ]
    ids, text = np.concatenate([one.ids for one in read]), "\n".join(one.text for one in read)
    for _record in documents.passing(records, f"{dataset.path} {split.name}"):
        pass  # passing them is what writes them
    writer.write(ids, count(dataset.tokenizer, text, ids), np.cumsum([len(one.ids) for one in read]))


def _write_targets(dataset: Dataset, split: Split, block: list[int], targets: TargetWriter) -> None:
    tokenizer = dataset.target_tokenizer
    ids = [np.append(split.target(number), tokenizer.eos_id) for number in block]
    read = list(targets.passing(split.references(number) for number in block))
    text, everything = "\n".join(one.text for one in read), np.concatenate(ids)
    targets.write(everything, count(tokenizer, text, everything), np.cumsum([len(one) for one in ids]))


def _sources(dataset: Dataset, split: str) -> list[dict[str, Any]]:
    """What the split was read from; of a split that is a subset itself, what that was taken from."""
    entries: list[dict[str, Any]] = dataset.record["splits"][split]["sources"]
    return [source for entry in entries for source in entry.get("sources", [entry])]


def _fields(dataset: Dataset, split: Split, number: int) -> dict[str, list[str]]:
    """What is read again of a document's record: its labels."""
    if dataset.labels is None:
        return {}
    return {dataset.labels.field: [dataset.label_names[i] for i in split.labelled.labels_of(number)]}


def _blocks(split: Split, numbers: np.ndarray) -> Iterator[list[int]]:
    """Numbers of documents that together have about `BLOCK_IDS` ids."""
    lengths = (split.document_ends - split.document_starts)[numbers]
    starts = np.unique(np.cumsum(lengths) // BLOCK_IDS, return_index=True)[1]
    for start, stop in pairwise([*starts.tolist(), len(numbers)]):
        yield numbers[start:stop].tolist()


__all__ = ["write_subset"]
