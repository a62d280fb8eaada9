"""Raw text to a dataset: read, learn the vocabulary from the training text, encode, write.

`build` writes a dataset folder where the user says; `prepare` gives the dataset of a run's config, tokenizing raw
sources once into the user's cache. Two datasets with the same key hold the same ids.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, cast

from lmtool.data import sources
from lmtool.data.dataset import RECORD, VERIFY_LIMIT, Dataset
from lmtool.data.encoding import BLOCK_CHARS, blocks, encode
from lmtool.data.labels import LabelIds
from lmtool.data.plan import SPLITS, Plan, make_plan, untrained
from lmtool.data.reading import Reading, lines_of
from lmtool.data.tokenizer_folder import FOLDER, save_tokenizer, short
from lmtool.data.writer import DocumentWriter, SplitWriter, write_record
from lmtool.errors import DataError, UsageError
from lmtool.files import atomic_folder, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from lmtool.api import Record, Tokenizer
    from lmtool.config import Choice, DataConfig
    from lmtool.registry import Registry

    Progress = Callable[[str, float], None]
    """Called with a phase's name and the fraction of it done, 0 to 1."""

logger = logging.getLogger("lmtool.data")


def build(plan: Plan, destination: Path, *, force: bool = False, progress: Progress | None = None) -> Dataset:
    """Write the planned dataset, unless the same one is there already.

    Args:
        plan: From `make_plan`.
        destination: The dataset folder; it appears when it is complete.
        force: Replace another or a damaged dataset in its place.
        progress: Told how far it is.

    Raises:
        DataError: if a source cannot be read, holds no text, or something else is in the place.
    """
    if existing := _existing(destination, plan.key, force=force):
        return existing
    with lock(destination.with_name(f".{destination.name}.lock")):  # whoever comes second finds it done
        return _existing(destination, plan.key, force=force) or _build(plan, destination, force, progress)


def _build(plan: Plan, destination: Path, force: bool, progress: Progress | None) -> Dataset:
    progress = progress or (lambda phase, fraction: None)
    _warn_of_shared_text(plan)
    tokenizer = plan.tokenizer or _train(plan, progress)
    label_ids = LabelIds(plan.label, plan.labels) if plan.label is not None else None
    with atomic_folder(destination, replace=force) as folder:
        with ThreadPoolExecutor(1) as thread:  # a large vocabulary takes half as long as encoding the text
            saved = thread.submit(save_tokenizer, tokenizer, plan.found, folder / FOLDER)
            splits = {name: _write_split(folder, name, plan, tokenizer, label_ids, progress) for name in plan.splits}
            saved.result()
        plan.check_unchanged()
        labels = label_ids.labels if label_ids else None
        write_record(folder, tokenizer, plan.found, plan.settings(), plan.key, splits, labels)
    return Dataset.open(destination)


def _warn_of_shared_text(plan: Plan) -> None:
    """What is learned from says nothing about how well a model does on other text."""
    learned = set(plan.digests.get("train", ()))
    for name in ("valid", "test"):
        for one, digest in zip(plan.splits.get(name, ()), plan.digests.get(name, ()), strict=True):
            if digest in learned and one.share is None:
                logger.warning(f"{one.source.name} is in the {name} text and in the training text")


def _existing(destination: Path, key: str, *, force: bool) -> Dataset | None:
    """The dataset that is there, if it is the wanted one. Raises DataError if something else is in the way."""
    if not destination.name:
        raise DataError(f"{destination} cannot be made a dataset", hint="`-o` names a new folder, as in `-o data`")
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return None
    if not (destination / RECORD).is_file():
        raise DataError(f"{destination} exists and is not a dataset", hint="name another folder with `-o`")
    try:
        dataset = Dataset.open(destination)
        dataset.verify(limit=None if force else VERIFY_LIMIT)
    except DataError:
        if force:
            return None
        raise
    if dataset.key == key:
        return dataset
    if not force:
        what = f"key {short(dataset.key)}, this one {short(key)}"
        hint = "`--force` replaces it; `-o` names another folder"
        raise DataError(f"{destination} holds another dataset, of other text or settings ({what})", hint)
    return None


def _train(plan: Plan, progress: Progress) -> Tokenizer:
    assert plan.choice is not None
    train = plan.splits.get("train", [])
    tracked = _Tracker("learning the vocabulary", train, progress)
    target = plan.choice.load()
    if hasattr(target, "train_text"):
        records = (record for one in train for record in one.records())
        tokenizer = target.train_text(_texts(records, tracked), plan.choice.config)
    else:
        tokenizer = target.train(lines_of(train, lambda record: tracked.update()), plan.choice.config)
    tracked.finish()
    return cast("Tokenizer", tokenizer)


def _texts(records: Iterable[Record], tracked: _Tracker) -> Iterator[str]:
    for block in blocks(records, BLOCK_CHARS):
        tracked.update()
        yield block.text


def _write_split(
    folder: Path, name: str, plan: Plan, tokenizer: Tokenizer, label_ids: LabelIds | None, progress: Progress
) -> dict[str, Any]:
    split = plan.splits[name]
    tracked = _Tracker(f"encoding {name}", split, progress)
    with ExitStack() as stack:
        stack.callback(tracked.finish)
        writer = SplitWriter(folder, name, tokenizer.vocab_size)
        stack.callback(writer.abandon)
        documents = DocumentWriter(folder, name, label_ids) if label_ids else None
        if documents:
            stack.callback(documents.abandon)
        stream = stack.enter_context(closing(encode(tokenizer, _records(split, documents))))
        for encoded in stream:
            writer.write(*encoded)
            tracked.update()
        _check_not_empty(name, split, writer)
        entries = [_source_entry(one, digest) for one, digest in zip(split, plan.digests[name], strict=True)]
        files = documents.close() if documents else {}
        _warn_of_unlabelled(name, documents)
        return {**writer.close(entries), **files}


def _records(split: Sequence[Reading], documents: DocumentWriter | None) -> Iterator[Record]:
    for reading in split:
        records = reading.records()
        yield from documents.passing(records, _called(reading)) if documents else records


def _called(reading: Reading) -> str:
    """What the documents are counted among, in messages."""
    if reading.share is None:
        return reading.source.name
    what = "holds out of" if reading.share.held_out else "leaves of"
    return f"what data.valid_fraction {what} {reading.source.name}"


def _source_entry(reading: Reading, digest: str) -> dict[str, Any]:
    share = {"share": reading.share.describe()} if reading.share else {}
    reader = {"reader": reading.choice.name, "settings": reading.choice.config.identity()}
    return {"name": reading.source.name, "sha256": digest, **reader, **share}


def _warn_of_unlabelled(name: str, documents: DocumentWriter | None) -> None:
    if documents and (count := documents.unlabelled):
        have = "1 document" if count == 1 else f"{count:,} documents"
        logger.warning(f"{have} of the {name} text without a label in '{documents.field}'")


def _check_not_empty(name: str, split: Sequence[Reading], writer: SplitWriter) -> None:
    if writer.counts.lines == 0:
        names = ", ".join(one.source.name for one in split[:3]) + (", …" if len(split) > 3 else "")
        if share := split[0].share:
            what = f"the {name} text is empty: data.valid_fraction = {share.fraction} leaves it no document of {names}"
            raise DataError(what, hint="name a validation text with `--valid`, or another fraction")
        raise DataError(f"the {name} text is empty: no line in {names}", hint=f"name another text with `--{name}`")


class _Tracker:
    """Fraction done: bytes taken from files over their size; for sources without a size, nothing until the end."""

    def __init__(self, phase: str, split: Sequence[Reading], progress: Progress) -> None:
        paths = [one.file for one in split]
        self._phase, self._progress = phase, progress
        self._start, self._next = sources.bytes_read(), 0.0
        self._total = sum(path.stat().st_size for path in paths if path and path.is_file())

    def update(self) -> None:
        done = sources.bytes_read() - self._start
        fraction = min(1.0, done / self._total) if self._total else 0.0
        if fraction >= self._next:  # there may be a million records
            self._next = fraction + 0.002
            self._progress(self._phase, fraction)

    def finish(self) -> None:
        self._progress(self._phase, 1.0)


def prepare(
    data: DataConfig, tokenizer: Choice | None, registry: Registry, progress: Progress | None = None
) -> Dataset:
    """The dataset of a run: the one that `data.path` names, or raw sources, tokenized once into the user's cache.

    Args:
        data: The section `[data]`.
        tokenizer: The choice of `[tokenizer]`; None to take that of the dataset.
        registry: Where readers and tokenizers are looked up.
        progress: Called with a phase and the fraction of it done.

    Raises:
        DataError: if the dataset or a source is missing, damaged or empty.
        UsageError: if there is neither dataset nor text, or both.
    """
    if data.path is not None:
        if data.train or data.valid or data.test:
            raise UsageError("data.path names a dataset, so data.train, data.valid and data.test must be left out")
        if data.valid_fraction:
            hint = "`lmtool tokenize --set data.valid_fraction=…` makes one with such a split"
            raise UsageError("data.path names a dataset, and data.valid_fraction is for text", hint)
        dataset = Dataset.open(data.path, registry)
        _check_label(dataset, data.label)
        _check_same_settings(dataset, tokenizer)
        return dataset
    plan = make_plan(data, tokenizer, registry)
    return build(plan, cached_path(plan.key), force=True, progress=progress)


def cached_path(key: str) -> Path:
    """Where the dataset with this key lies in the user's cache."""
    from lmtool.cache import cache_folder

    return cache_folder() / "datasets" / key[:32]


def _check_label(dataset: Dataset, field: str | None) -> None:
    """A config that names a dataset and a field of labels must name the one that made the dataset."""
    made = dataset.labels.field if dataset.labels else None
    if field is not None and field != made:
        what = f"with the labels of field '{made}'" if made else "without labels"
        raise DataError(f"{dataset.path} was made {what}, and data.label asks for '{field}'",
                        hint=f"`lmtool tokenize --label {field} …` makes another")  # fmt: skip


def _check_same_settings(dataset: Dataset, tokenizer: Choice | None) -> None:
    """A config that names a dataset and a tokenizer must name the one that made the dataset."""
    if tokenizer is None:
        return
    record = dataset.record["tokenizer"]
    given = tokenizer.config.identity()
    if record["name"] != tokenizer.name or (record["settings"] and record["settings"] != given):
        raise DataError(
            f"ids in {dataset.path} were written with tokenizer '{record['name']}' {record['settings']}, "
            f"but the config asks for '{tokenizer.name}' {given}",
            hint=f"leave [tokenizer] out, or `lmtool tokenize --tokenizer {tokenizer.name} -o DATASET` again",
        )


__all__ = ["SPLITS", "Plan", "build", "cached_path", "make_plan", "prepare", "untrained"]
