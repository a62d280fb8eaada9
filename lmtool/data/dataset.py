"""A dataset folder, read: ids of each split, memory-mapped, and what is known of the text behind them.

DATASET/
  dataset.json                     format version, tokenizer, sources with sha256, counts, sha256 of each file
  tokenizer/                       see `lmtool.data.tokenizer_folder`
  SPLIT-00000.npy …                ids in the smallest unsigned type, `eos_id` after each line
  SPLIT-document-ends.npy          int64, for each document the offset behind its last id
  SPLIT-labels.npy …               labels and text of documents: see `lmtool.data.documents`
  SPLIT-targets.npy …              what they are to be answered with: see `lmtool.data.target_files`
  target-tokenizer/                of targets, if it is not that of the text
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.data.arrays import REPAIR, VERIFY_LIMIT, ArrayFile, check_parts
from lmtool.data.counts import Counts
from lmtool.data.documents import LABEL_PARTS, TEXT_PARTS, Documents, LabelledDocuments
from lmtool.data.labels import Labels, without_labels
from lmtool.data.split import Split
from lmtool.data.target_files import TargetFiles, check_target_files
from lmtool.data.targets import TargetFields, without_targets
from lmtool.data.tokenizer_folder import FOLDER, TARGET_FOLDER, load_tokenizer, short
from lmtool.errors import DataError
from lmtool.records import read_record

if TYPE_CHECKING:
    from lmtool.api import Tokenizer
    from lmtool.registry import Registry

FORMAT = "lmtool-dataset"
FORMAT_VERSION = 1
RECORD = "dataset.json"
IN_TRAIN = "documents_in_train"
"""In a split's entry, where it is known: how many of its documents have the text of a training document."""


class Dataset:
    """A folder of ids made by one tokenizer. Open it with `Dataset.open`."""

    def __init__(self, path: Path, record: dict[str, Any], registry: Registry | None = None) -> None:
        self.path, self.record = path, record
        self._registry = registry

    @classmethod
    def open(cls, path: str | Path, registry: Registry | None = None) -> Dataset:
        """Read the description and check that every file is there with the right size.

        Args:
            path: The folder.
            registry: Where the tokenizer's plugin is looked up; all installed plugins by default.

        Raises:
            DataError: if it is not a dataset, was written by a newer version, or is damaged.
        """
        path = Path(path)
        dataset = cls(path, _read_record(path), registry)
        for name in dataset.split_names:
            for file in (*dataset._files(name), *dataset._document_files(name)):
                file.open()
        return dataset

    @property
    def fingerprint(self) -> str:
        """Of the tokenizer that made the ids."""
        return str(self.record["tokenizer"]["fingerprint"])

    @property
    def key(self) -> str:
        """Hash of everything that went in: sources, readers, tokenizer and their versions."""
        return str(self.record["key"])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        tokenizer = load_tokenizer(self.path / FOLDER, self._known_registry)
        self.check_tokenizer(tokenizer.fingerprint, f"the tokenizer in {self.path / FOLDER}")
        return tokenizer

    @property
    def _known_registry(self) -> Registry:
        if self._registry is None:
            from lmtool.registry import Registry

            self._registry = Registry()
        return self._registry

    @property
    def vocab_size(self) -> int:
        return int(self.record["tokenizer"]["vocab_size"])

    @property
    def eos_id(self) -> int:
        return int(self.record["tokenizer"]["eos_id"])

    @property
    def unk_id(self) -> int | None:
        value = self.record["tokenizer"]["unk_id"]
        return None if value is None else int(value)

    @property
    def split_names(self) -> tuple[str, ...]:
        return tuple(self.record["splits"])

    @cached_property
    def labels(self) -> Labels | None:
        """What documents are labelled with; None if the dataset was made without `data.label`."""
        entry = self.record.get("labels")
        return Labels.from_json(entry) if entry else None

    @property
    def label_names(self) -> tuple[str, ...]:
        """Of the C classes; ids of labels are places in it. Raises DataError, with the cure, if there are none."""
        return self._known_labels.names

    @property
    def multi_label(self) -> bool:
        """Whether a document may have any number of labels, not one. Raises DataError if there are no labels."""
        return self._known_labels.multi

    @property
    def _known_labels(self) -> Labels:
        if self.labels is None:
            raise without_labels(self.path)
        return self.labels

    @property
    def target_fields(self) -> tuple[str, ...]:
        """The fields of records that targets were read from, of each the first that it has; none if there are none."""
        return tuple(self.record["targets"]["fields"]) if "targets" in self.record else ()

    @property
    def has_target_tokenizer(self) -> bool:
        """Whether targets have a tokenizer of their own."""
        return bool(self.record.get("targets", {}).get("tokenizer"))

    @cached_property
    def target_tokenizer(self) -> Tokenizer:
        """That of targets: the same object as `tokenizer`, if they share one.

        Raises:
            DataError: if there are no targets, with the cure, or it is damaged.
        """
        if not self._target_record["own"]:
            return self.tokenizer
        folder = self.path / TARGET_FOLDER
        tokenizer = load_tokenizer(folder, self._known_registry)
        if tokenizer.fingerprint != self._target_record["fingerprint"]:
            written = short(self._target_record["fingerprint"])
            found = f"{folder} is tokenizer {short(tokenizer.fingerprint)}"
            raise DataError(f"targets in {self.path} were written with tokenizer {written}, but {found}", hint=REPAIR)
        return tokenizer

    @property
    def target_vocab_size(self) -> int:
        """Raises DataError, with the cure, if there are no targets."""
        return int(self._target_record["vocab_size"])

    @property
    def _target_record(self) -> dict[str, Any]:
        """Of the tokenizer of targets."""
        if not self.target_fields:
            raise without_targets(self.path)
        own = self.record["targets"].get("tokenizer")
        return {**(own or self.record["tokenizer"]), "own": bool(own)}

    def split(self, name: str) -> Split:
        """One part. Raises DataError naming those that exist."""
        if name not in self.record["splits"]:
            names = ", ".join(self.split_names)
            raise DataError(f"no split '{name}' in {self.path}; it has {names}", f"`lmtool tokenize --{name} FILE …`")
        *shards, document_ends = self._files(name)
        entry = self.record["splits"][name]
        documents, targets = self._documents(name), self._targets(name)
        return Split(name, Counts(**entry["counts"]), shards, document_ends, documents, targets)

    def documents_in_train(self, split: str) -> int | None:
        """How many documents of a split have the text of a training document; None where that is not known."""
        count = self.record["splits"][split].get(IN_TRAIN)
        return None if count is None else int(count)

    def check_tokenizer(self, fingerprint: str, owner: str) -> None:
        """Raise DataError unless the ids were made by the tokenizer with this fingerprint.

        Args:
            fingerprint: Of the tokenizer that is going to be used.
            owner: Whose it is, for the message: `the tokenizer of RUN`.
        """
        if fingerprint != self.fingerprint:
            raise DataError(
                f"ids in {self.path} were written with tokenizer {short(self.fingerprint)}, "
                f"but {owner} is {short(fingerprint)}",
                hint="tokenize the text again with that tokenizer: `lmtool tokenize --with RUN --test FILE -o DATASET`",
            )

    def verify(self, limit: int | None = None) -> None:
        """Compare the checksums of ids, labels, targets, text and tokenizers.

        Args:
            limit: Leave out what has more bytes in a split than this; None for all.

        Raises:
            DataError: names the damaged file.
        """
        _ = self.tokenizer, self.target_fields and self.target_tokenizer
        for name in self.split_names:
            split = self.split(name)
            if limit is None or split.size <= limit:
                split.verify()
            files = self._document_files(name)
            if limit is None or sum(file.size for file in files) <= limit:
                for file in files:
                    file.verify()

    def _files(self, name: str) -> list[ArrayFile]:
        split = self.record["splits"][name]
        return [ArrayFile.of(self.path, file) for file in (*split["shards"], split["document_ends"])]

    def _documents(self, name: str) -> Documents | None:
        entry = self.record["splits"][name]
        if self.labels is not None:
            return LabelledDocuments.labelled(self.path, entry, self.labels)
        return Documents.of(self.path, entry) if self.target_fields else None

    def _targets(self, name: str) -> TargetFiles | None:
        return TargetFiles.of(self.path, self.record["splits"][name]) if self.target_fields else None

    def _document_files(self, name: str) -> list[ArrayFile]:
        kept = (self._documents(name), self._targets(name))
        return [file for one in kept if one for file in one.files.values()]


def _read_record(path: Path) -> dict[str, Any]:
    makes_one = "`lmtool tokenize --train FILE -o DATASET` makes one"
    return read_record(
        path / RECORD, "dataset", version=FORMAT_VERSION, check=_check_record, makes_one=makes_one, repair=REPAIR
    )


def _check_record(record: Any) -> None:
    _ = record["key"], record["tokenizer"]["fingerprint"]
    labelled = "labels" in record and bool(Labels.from_json(record["labels"]))
    with_targets = "targets" in record and bool(TargetFields.from_json(record["targets"]))
    for name, split in record["splits"].items():
        _check_split(name, split)
        documents = Counts(**split["counts"]).documents
        types = {**(TEXT_PARTS if labelled or with_targets else {}), **(LABEL_PARTS if labelled else {})}
        check_parts(name, split, types, {part: documents for part in types if part.endswith("ends")})
        if with_targets:
            check_target_files(name, split, documents)


def _check_split(name: str, split: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError if an entry is missing, or the figures do not go together."""
    tokens = sum(int(file["length"]) for file in split["shards"])
    if Counts(**split["counts"]).tokens != tokens:
        raise ValueError(f"{name} has {split['counts']['tokens']} tokens, and its shards {tokens}")
    _ = [(file["file"], file["dtype"], file["sha256"]) for file in (*split["shards"], split["document_ends"])]


__all__ = ["VERIFY_LIMIT", "ArrayFile", "Dataset", "Split"]
