"""Raw text to a dataset: read, learn the vocabulary from the training text, encode, write.

`build` writes a dataset folder where the user says; `prepare` gives the dataset of a run's config, tokenizing raw
sources once into the user's cache. Two datasets with the same key hold the same ids.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmtool.config import choose_inline
from lmtool.data.dataset import IN_TRAIN, RECORD, VERIFY_LIMIT, Dataset
from lmtool.data.encoding import encode
from lmtool.data.labels import LabelIds
from lmtool.data.learning import tokenizers
from lmtool.data.overlap import documents_in_train
from lmtool.data.plan import SPLITS, Plan, make_plan, untrained
from lmtool.data.progress import PassProgress
from lmtool.data.target_writer import TargetWriter
from lmtool.data.tokenizer_folder import FOLDER, TARGET_FOLDER, save_tokenizer, short
from lmtool.data.writer import DocumentWriter, SplitWriter, described_tokenizer, write_record
from lmtool.errors import DataError, UsageError
from lmtool.files import atomic_folder, lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmtool.api import Record, Tokenizer
    from lmtool.config import Choice, DataConfig
    from lmtool.data.progress import Progress
    from lmtool.data.reading import Reading
    from lmtool.registry import Registry

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
    label_ids = LabelIds(plan.label, plan.labels) if plan.label is not None else None
    encoders = _Encoders(*tokenizers(plan, progress), label_ids)
    with atomic_folder(destination, replace=force) as folder:
        with ThreadPoolExecutor(1) as thread:  # a large vocabulary takes half as long as encoding the text
            saved = thread.submit(_save_tokenizers, folder, plan, encoders)
            splits = {name: _write_split(folder, name, plan, encoders, progress) for name in plan.splits}
            saved.result()
        plan.check_unchanged()
        if plan.keeps_text and "train" in splits:
            _count_documents_in_train(folder, splits)
        labels, targets = label_ids.labels if label_ids else None, _targets_entry(plan, encoders)
        chosen = plan.tokenizer
        settings = chosen.settings()
        write_record(folder, encoders.tokenizer, chosen.found, settings, plan.key, splits, labels, targets)
    return Dataset.open(destination)


def _save_tokenizers(folder: Path, plan: Plan, encoders: _Encoders) -> None:
    save_tokenizer(encoders.tokenizer, plan.tokenizer.found, folder / FOLDER)
    if plan.target_tokenizer is not None:
        save_tokenizer(encoders.target_tokenizer, plan.target_tokenizer.found, folder / TARGET_FOLDER)


def _targets_entry(plan: Plan, encoders: _Encoders) -> dict[str, Any] | None:
    if plan.targets is None:
        return None
    own = plan.target_tokenizer
    described = described_tokenizer(encoders.target_tokenizer, own.found, own.settings()) if own else None
    return {**plan.targets.to_json(), **({"tokenizer": described} if described else {})}


def _warn_of_shared_text(plan: Plan) -> None:
    """What is learned from says nothing about how well a model does on other text."""
    learned = set(plan.digests.get("train", ()))
    for name in ("valid", "test"):
        for one, digest in zip(plan.splits.get(name, ()), plan.digests.get(name, ()), strict=True):
            if digest in learned and one.share is None:
                logger.warning(f"{one.source.name} is in the {name} text and in the training text")


def _count_documents_in_train(folder: Path, splits: dict[str, dict[str, Any]]) -> None:
    """Into the entries of the other splits, with a warning if there are any."""
    for name, count in documents_in_train(folder, splits).items():
        splits[name][IN_TRAIN] = count
        if count:
            verb, total = "is" if count == 1 else "are", splits[name]["counts"]["documents"]
            logger.warning(f"{count:,} of {total:,} {name} documents {verb} in the training text, too")


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


@dataclass(frozen=True)
class _Encoders:
    """What a split's documents are turned to ids with."""

    tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    label_ids: LabelIds | None


def _write_split(folder: Path, name: str, plan: Plan, encoders: _Encoders, progress: Progress) -> dict[str, Any]:
    targets = _write_targets(folder, name, plan, encoders, progress)
    split, tokenizer = plan.splits[name], encoders.tokenizer
    tracked = PassProgress(f"encoding {name}", split, progress)
    with ExitStack() as stack:
        stack.callback(tracked.finish)
        writer = SplitWriter(folder, name, tokenizer.vocab_size)
        stack.callback(writer.abandon)
        documents = DocumentWriter(folder, name, encoders.label_ids) if plan.keeps_text else None
        if documents:
            stack.callback(documents.abandon)
        stream = stack.enter_context(closing(encode(tokenizer, _records(split, documents))))
        for encoded in stream:
            writer.write(*encoded)
            tracked.update()
        _check_not_empty(name, split, writer)
        entries = [_source_entry(one, digest) for one, digest in zip(split, plan.digests[name], strict=True)]
        files = documents.close() if documents else {}
        _warn_of_unlabelled(name, plan.label, documents)
        return {**writer.close(entries), **files, **targets}


def _write_targets(folder: Path, name: str, plan: Plan, encoders: _Encoders, progress: Progress) -> dict[str, Any]:
    """First: what is missing is found before much was done. Returns what is added to the split's entry."""
    if plan.targets is None:
        return {}
    tracked = PassProgress(f"encoding targets of {name}", plan.splits[name], progress)
    with ExitStack() as stack:
        stack.callback(tracked.finish)
        writer = TargetWriter(folder, name, encoders.target_tokenizer)
        stack.callback(writer.abandon)
        documents = (texts for one in plan.splits[name] for texts in plan.targets.of(one.records(), one.called))
        stream = stack.enter_context(closing(encode(encoders.target_tokenizer, writer.passing(documents))))
        for encoded in stream:
            writer.write(*encoded)
            tracked.update()
        return writer.close()


def _records(split: Sequence[Reading], documents: DocumentWriter | None) -> Iterator[Record]:
    for reading in split:
        records = reading.records()
        yield from documents.passing(records, reading.called) if documents else records


def _source_entry(reading: Reading, digest: str) -> dict[str, Any]:
    share = {"share": reading.share.describe()} if reading.share else {}
    reader = {"reader": reading.choice.name, "settings": reading.choice.config.identity()}
    return {"name": reading.source.name, "sha256": digest, **reader, **share}


def _warn_of_unlabelled(name: str, field: str | None, documents: DocumentWriter | None) -> None:
    if documents and (count := documents.unlabelled):
        have = "1 document" if count == 1 else f"{count:,} documents"
        logger.warning(f"{have} of the {name} text without a label in '{field}'")


def _check_not_empty(name: str, split: Sequence[Reading], writer: SplitWriter) -> None:
    if writer.counts.lines == 0:
        names = ", ".join(one.source.name for one in split[:3]) + (", …" if len(split) > 3 else "")
        if share := split[0].share:
            what = f"the {name} text is empty: data.valid_fraction = {share.fraction} leaves it no document of {names}"
            raise DataError(what, hint="name a validation text with `--valid`, or another fraction")
        raise DataError(f"the {name} text is empty: no line in {names}", hint=f"name another text with `--{name}`")


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
        dataset = Dataset.open(data.path, registry)
        _check_valid_fraction(dataset, data.valid_fraction)
        _check_label(dataset, data.label)
        _check_target(dataset, data, registry)
        _check_same_settings(dataset, tokenizer)
        return dataset
    plan = make_plan(data, tokenizer, registry)
    return build(plan, cached_path(plan.key), force=True, progress=progress)


def cached_path(key: str) -> Path:
    """Where the dataset with this key lies in the user's cache."""
    from lmtool.cache import cache_folder

    return cache_folder() / "datasets" / key[:32]


def _check_valid_fraction(dataset: Dataset, wanted: float) -> None:
    """A config that names a dataset and a share of the training text must name the one that was held out of it."""
    sources = dataset.record["splits"].get("valid", {}).get("sources", [])
    made = {one["share"]["fraction"] for one in sources if "share" in one}
    if wanted and made != {wanted}:
        what = f"with data.valid_fraction = {made.pop()}" if made else "without data.valid_fraction"
        raise DataError(f"{dataset.path} was made {what}, and the config asks for {wanted}",
                        hint=f"`lmtool tokenize --set data.valid_fraction={wanted} …` makes another")  # fmt: skip


def _check_label(dataset: Dataset, field: str | None) -> None:
    """A config that names a dataset and a field of labels must name the one that made the dataset."""
    made = dataset.labels.field if dataset.labels else None
    if field is not None and field != made:
        what = f"with the labels of field '{made}'" if made else "without labels"
        raise DataError(f"{dataset.path} was made {what}, and data.label asks for '{field}'",
                        hint=f"`lmtool tokenize --label {field} …` makes another")  # fmt: skip


def _check_target(dataset: Dataset, data: DataConfig, registry: Registry) -> None:
    """A config that names a dataset and fields of targets must name those that made the dataset."""
    wanted, made = data.target_fields, dataset.target_fields
    if wanted and wanted != made:
        what = f"with the targets of field '{', '.join(made)}'" if made else "without targets"
        options = " ".join(f"--target {name}" for name in wanted)
        raise DataError(f"{dataset.path} was made {what}, and data.target asks for '{', '.join(wanted)}'",
                        hint=f"`lmtool tokenize {options} …` makes another")  # fmt: skip
    if data.target_tokenizer is not None:
        choice = choose_inline("tokenizer", data.target_tokenizer, registry, "data.target_tokenizer")
        record = (dataset.record.get("targets") or {}).get("tokenizer")
        if record is None:
            hint = "leave it out, or make another dataset with `lmtool tokenize … -o DATASET`"
            raise DataError(f"{dataset.path} was made without data.target_tokenizer, and the config names one", hint)
        _check_same_tokenizer(dataset, record, choice, "targets", "data.target_tokenizer")


def _check_same_settings(dataset: Dataset, tokenizer: Choice | None) -> None:
    """A config that names a dataset and a tokenizer must name the one that made the dataset."""
    if tokenizer is not None:
        _check_same_tokenizer(dataset, dataset.record["tokenizer"], tokenizer, "ids", "[tokenizer]")


def _check_same_tokenizer(dataset: Dataset, record: dict[str, Any], wanted: Choice, what: str, section: str) -> None:
    given = wanted.config.identity()
    if record["name"] != wanted.name or (record["settings"] and record["settings"] != given):
        raise DataError(
            f"{what} in {dataset.path} were written with tokenizer '{record['name']}' {record['settings']}, "
            f"but the config asks for '{wanted.name}' {given}",
            hint=f"leave {section} out, or make another dataset with `lmtool tokenize … -o DATASET`",
        )


__all__ = ["SPLITS", "Plan", "build", "cached_path", "make_plan", "prepare", "untrained"]
