"""Which text a run is evaluated on: a split of a dataset, or raw text that the run's own tokenizer encodes first."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.cache import cache_folder
from lmtool.config import DEFAULT_LABEL, DataConfig
from lmtool.data.dataset import RECORD, Dataset
from lmtool.data.labels import Labels, known_labels
from lmtool.data.prepare import SPLITS, build, make_plan
from lmtool.data.sources import STDIN, format_suffix
from lmtool.data.tokenizer_folder import open_target_tokenizer, open_tokenizer
from lmtool.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmtool.data.dataset import Split
    from lmtool.registry import Registry
    from lmtool.run import Run


@dataclass(frozen=True)
class Text:
    """Ids that a run can be evaluated on."""

    ids: Split
    data: str
    """The dataset's path, or what the user wrote for raw text."""
    split: str | None
    """None for raw text."""
    sources: tuple[str, ...]
    """What the text was read from, as the user named it then."""
    chosen: bool
    """False if the user did not say which split."""

    @property
    def counts(self) -> dict[str, int]:
        """What it holds; a line's end counts as a token and a byte, not as a word."""
        return {
            "lines": self.ids.num_lines,
            "words": self.ids.num_words,
            "tokens": self.ids.num_tokens,
            "bytes": self.ids.num_bytes,
            "unknown_tokens": self.ids.num_unknown,
        }

    def is_like(self, other: Text) -> bool:
        """Whether both hold as many documents, lines, words and bytes, whatever the tokenizers."""
        alike = all(self.counts[name] == other.counts[name] for name in ("lines", "words", "bytes"))
        return alike and self.ids.num_documents == other.ids.num_documents

    @property
    def name(self) -> str:
        """What people call it: the sources, where the dataset is one of the cache that nobody named."""
        if self.split and cache_folder() in Path(self.data).parents:
            return ", ".join(_shorter(source) for source in self.sources)
        return f"{_shorter(self.data)} {self.split}" if self.split else self.data


def _shorter(path: str) -> str:
    """A path below the working folder, without it."""
    relative = os.path.relpath(path) if os.path.isabs(path) else path
    return min(path, relative, key=len)


class Texts:
    """The text for each of several runs.

    Args:
        on: A split's name, raw text as `lmtool tokenize` takes it, or a dataset; None for the test split, or the
            validation split where there is none. A split's name always means the split; a file may be `./test`.
        data: A dataset to take the split from; None for the one that a run was trained on.
        scratch: A folder for ids of raw text, which the caller removes.
        registry: Where readers and tokenizers are looked up.
        progress: Called with a phase and the fraction of it done.

    Raises:
        UsageError: if a dataset and raw text are asked for at once.
    """

    def __init__(
        self,
        on: str | None,
        data: str | None,
        *,
        scratch: Path,
        registry: Registry,
        progress: Callable[[str, float], None] = lambda phase, fraction: None,
    ) -> None:
        if data is None and on is not None and (Path(on) / RECORD).is_file():
            on, data = None, on
        if data is not None and on is not None and on not in SPLITS:
            raise UsageError(f"--data {data} is a dataset, so --on must be one of {', '.join(SPLITS)}, got {on}")
        self._on, self._data = on, data
        self._scratch, self._registry, self._progress = scratch, registry, progress
        self._encoded: dict[str, Dataset] = {}

    def of(self, run: Run) -> Text:
        """The text for a run.

        Raises:
            DataError: if it is missing, empty, or was made with another tokenizer.
        """
        if self._on is None or self._on in SPLITS:
            return self._split(run)
        wanted = Wanted.of(run, self._on, self._registry)
        if wanted.key not in self._encoded:
            self._encoded[wanted.key] = self._encode(self._on, run, wanted)
        return Text(self._encoded[wanted.key].split("test"), self._on, None, (self._on,), chosen=True)

    def _split(self, run: Run) -> Text:
        dataset = self._dataset(run)
        name = self._on or _default_split(dataset)
        split = dataset.split(name)
        sources = tuple(_source_name(source) for source in dataset.record["splits"][name]["sources"])
        return Text(split, str(dataset.path), name, sources, chosen=self._on is not None)

    def _dataset(self, run: Run) -> Dataset:
        hint = "`--on FILE` evaluates on a text, `--data DATASET` on another dataset"
        if self._data is None and run.dataset_path is None:
            path = run.record["dataset"]["path"]
            raise DataError(f"the dataset that {run.path} was trained on is not there any more: {path}", hint)
        dataset = Dataset.open(self._data or str(run.dataset_path), self._registry)
        if dataset.fingerprint != run.tokenizer.fingerprint:
            message = f"{dataset.path} was made with another tokenizer than {run.path}"
            raise DataError(message, f"`lmtool tokenize --with {run.path} --test FILE -o DATASET` makes one that fits")
        if run.predicts == "classes":
            _check_labels(dataset, run)
        if run.predicts == "texts":
            _check_targets(dataset, run)
        return dataset

    def _encode(self, source: str, run: Run, wanted: Wanted) -> Dataset:
        _check_source(source)
        tokenizer, found = open_tokenizer(run.path, self._registry)
        path = source
        if source == STDIN or Path(source).is_fifo():
            path = str(_spooled(source, self._scratch / "stream"))
        field, target = wanted.labels.field if wanted.labels else None, list(wanted.targets) or None
        data = DataConfig.model_validate({"test": [path], "reader": wanted.reader, "label": field, "target": target})
        own = open_target_tokenizer(run.path, self._registry) if target else None
        ready = (tokenizer, found)
        try:
            plan = make_plan(data, None, self._registry, ready=ready, labels=wanted.labels, ready_target=own)
            return build(plan, self._scratch / wanted.key, progress=self._progress)
        except DataError as error:  # what the user wrote has other names here
            hint = error.hint and error.hint.replace("--test", "--on").replace(path, source)
            raise DataError(error.message.replace(path, source), hint) from None


@dataclass(frozen=True)
class Wanted:
    """How raw text is read for a run: as the text that it learned from was."""

    tokenizer: str
    """Its fingerprint."""
    labels: Labels | None
    """Those of a classifier; None where a model of another kind is evaluated, which needs none."""
    reader: Mapping[str, Any]
    """That of the run's training text, where it reads such files; empty to go by suffix."""
    targets: tuple[str, ...] = ()
    """The fields of those, of a text-to-text model; none of others."""
    target_tokenizer: str = ""
    """Its fingerprint, of a text-to-text model."""

    @classmethod
    def of(cls, run: Run, source: str, registry: Registry) -> Wanted:
        labels = labels_of(run) if run.predicts == "classes" else None
        reader = _reader(run, source, registry, else_too=run.predicts != "tokens")
        if run.predicts != "texts":
            return cls(run.tokenizer.fingerprint, labels, reader)
        return cls(run.tokenizer.fingerprint, None, reader, run.target_fields, run.target_tokenizer.fingerprint)

    @property
    def key(self) -> str:
        labels = self.labels and self.labels.to_json()
        contents = [self.tokenizer, labels, self.reader, self.targets, self.target_tokenizer]
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def labels_of(run: Run) -> Labels:
    """The labels that a classifier learned, and the field that they came from."""
    if known := known_labels(run.path):
        return known
    classifier = run.classifier()
    return Labels(run.config["data"].get("label", DEFAULT_LABEL), classifier.labels, classifier.multi_label)


def _reader(run: Run, source: str, registry: Registry, *, else_too: bool) -> Mapping[str, Any]:
    """The run's reader for files of its formats; `else_too` for those that no reader claims, too."""
    reader = run.reader
    if not reader:
        return {}
    suffix = format_suffix(source)
    reads = {name: registry.find("reader", name).component.capabilities for name in registry.names("reader")}
    claimed = any(suffix in suffixes for suffixes in reads.values())
    fits = suffix in reads.get(str(reader["name"]), ()) or (else_too and not claimed)
    return reader if fits else {}


def _check_labels(dataset: Dataset, run: Run) -> None:
    labels = labels_of(run)
    if dataset.label_names != labels.names:
        message = f"{dataset.path} has other classes than those that {run.path} learned"
        hint = f"`lmtool tokenize --with {run.path} --label {labels.field} --test FILE -o DATASET` makes one that fits"
        raise DataError(message, hint)


def _check_targets(dataset: Dataset, run: Run) -> None:
    make = f"`lmtool tokenize --with {run.path} --target FIELD --test FILE -o DATASET`"
    if not dataset.target_fields:
        raise DataError(f"{dataset.path} has no targets", f"{make} makes one with them")
    if dataset.target_tokenizer.fingerprint != run.target_tokenizer.fingerprint:
        message = f"targets in {dataset.path} were made with another tokenizer than those of {run.path}"
        raise DataError(message, f"{make} makes one that fits")


def _source_name(source: Mapping[str, Any]) -> str:
    share = source.get("share")
    return (
        f"{source['name']} ({share['fraction']:.0%} held out)" if share and share["held_out"] else str(source["name"])
    )


def _default_split(dataset: Dataset) -> str:
    for name in ("test", "valid"):
        if name in dataset.split_names:
            return name
    if not (names := ", ".join(dataset.split_names)):
        raise DataError(f"{dataset.path} has a vocabulary and no text", "`--on FILE` evaluates on a text")
    raise DataError(f"{dataset.path} has neither a test nor a valid split, only {names}", f"`--on {names}` takes that")


def _check_source(source: str) -> None:
    """A word that is no file is more likely a split's name gone wrong."""
    if re.fullmatch(r"\w+", source) and not Path(source).exists():
        raise DataError(f"no split and no file '{source}'{did_you_mean(source, SPLITS)}; splits: {', '.join(SPLITS)}")


def _spooled(source: str, path: Path) -> Path:
    """A stream as a file: it can be read once only, and several runs may want it."""
    if not path.exists():
        with (
            path.open("wb") as file,
            nullcontext(sys.stdin.buffer) if source == STDIN else open(source, "rb") as stream,
        ):
            shutil.copyfileobj(stream, file)
    return path
