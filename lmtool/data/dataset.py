"""A dataset folder, read: ids of each split, memory-mapped, and what is known of the text behind them.

DATASET/
  dataset.json                     format version, tokenizer, sources with sha256, counts, sha256 of each file
  tokenizer/                       see `lmtool.data.tokenizer_folder`
  SPLIT-00000.npy …                ids in the smallest unsigned type, `eos_id` after each line
  SPLIT-document-ends.npy          int64, for each document the offset behind its last id
  SPLIT-labels.npy …               labels and text of documents: see `lmtool.data.documents`
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.data.arrays import REPAIR, VERIFY_LIMIT, ArrayFile
from lmtool.data.counts import Counts
from lmtool.data.documents import PARTS, Documents
from lmtool.data.labels import Labels
from lmtool.data.split import Split
from lmtool.data.tokenizer_folder import FOLDER, load_tokenizer, short
from lmtool.errors import DataError
from lmtool.records import read_record

if TYPE_CHECKING:
    from lmtool.api import Tokenizer
    from lmtool.registry import Registry

FORMAT = "lmtool-dataset"
FORMAT_VERSION = 1
RECORD = "dataset.json"


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
        if self._registry is None:
            from lmtool.registry import Registry

            self._registry = Registry()
        tokenizer = load_tokenizer(self.path / FOLDER, self._registry)
        self.check_tokenizer(tokenizer.fingerprint, f"the tokenizer in {self.path / FOLDER}")
        return tokenizer

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
            hint = "`lmtool tokenize --label FIELD …` or data.label makes it with them"
            raise DataError(f"{self.path} has no labels", hint)
        return self.labels

    def split(self, name: str) -> Split:
        """One part. Raises DataError naming those that exist."""
        if name not in self.record["splits"]:
            names = ", ".join(self.split_names)
            raise DataError(f"no split '{name}' in {self.path}; it has {names}", f"`lmtool tokenize --{name} FILE …`")
        *shards, document_ends = self._files(name)
        entry = self.record["splits"][name]
        return Split(name, Counts(**entry["counts"]), shards, document_ends, self._documents(name))

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
        """Compare the checksums of ids, labels, text and tokenizer.

        Args:
            limit: Leave out what has more bytes in a split than this; None for all.

        Raises:
            DataError: names the damaged file.
        """
        _ = self.tokenizer
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
        return Documents.of(self.path, self.record["splits"][name], self.labels)

    def _document_files(self, name: str) -> list[ArrayFile]:
        documents = self._documents(name)
        return list(documents.files.values()) if documents else []


def _read_record(path: Path) -> dict[str, Any]:
    makes_one = "`lmtool tokenize --train FILE -o DATASET` makes one"
    return read_record(
        path / RECORD, "dataset", version=FORMAT_VERSION, check=_check_record, makes_one=makes_one, repair=REPAIR
    )


def _check_record(record: Any) -> None:
    _ = record["key"], record["tokenizer"]["fingerprint"]
    labelled = "labels" in record and bool(Labels.from_json(record["labels"]))
    for name, split in record["splits"].items():
        _check_split(name, split)
        if labelled:
            _check_documents(name, split)


def _check_split(name: str, split: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError if an entry is missing, or the figures do not go together."""
    tokens = sum(int(file["length"]) for file in split["shards"])
    if Counts(**split["counts"]).tokens != tokens:
        raise ValueError(f"{name} has {split['counts']['tokens']} tokens, and its shards {tokens}")
    _ = [(file["file"], file["dtype"], file["sha256"]) for file in (*split["shards"], split["document_ends"])]


def _check_documents(name: str, split: dict[str, Any]) -> None:
    """The same for the files of labels and text."""
    documents = Counts(**split["counts"]).documents
    for part, dtype in PARTS.items():
        entry = split[part.replace("-", "_")]
        _ = entry["file"], entry["sha256"]
        if entry["dtype"] != dtype:
            raise ValueError(f"{name} has {part} of type {entry['dtype']}, not {dtype}")
        if part.endswith("ends") and int(entry["length"]) != documents:
            raise ValueError(f"{name} has {documents} documents and {entry['length']} {part}")


__all__ = ["VERIFY_LIMIT", "ArrayFile", "Dataset", "Split"]
