"""One part of a dataset: the ids of its text, one document after the other, and what is known of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lmtool.api.classes import Document
from lmtool.data.arrays import VERIFY_LIMIT, ArrayFile, pieces, read_slice
from lmtool.data.documents import LabelledDocuments
from lmtool.data.labels import without_labels
from lmtool.data.targets import without_targets
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmtool.data.counts import Counts
    from lmtool.data.documents import Documents
    from lmtool.data.target_files import TargetFiles


class Split:
    """The ids of one part of a dataset: a single stream, each line ended by `eos_id`.

    Labels are there if the dataset was made with `data.label`, targets if with `data.target`, the text of documents
    with either.
    """

    def __init__(
        self,
        name: str,
        counts: Counts,
        shards: list[ArrayFile],
        document_ends: ArrayFile,
        documents: Documents | None = None,
        targets: TargetFiles | None = None,
    ) -> None:
        self.name = name
        self.counts = counts
        self._shards, self._document_ends, self._documents = shards, document_ends, documents
        self._targets = targets

    @property
    def num_tokens(self) -> int:
        """Ids, the end of each line included."""
        return self.counts.tokens

    @property
    def num_lines(self) -> int:
        return self.counts.lines

    @property
    def num_documents(self) -> int:
        return self.counts.documents

    @property
    def num_words(self) -> int:
        """Whitespace-separated words of the text; line ends not included."""
        return self.counts.words

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes, one for each line end included."""
        return self.counts.bytes

    @property
    def num_unknown(self) -> int:
        return self.counts.unknown

    @property
    def num_unknown_bytes(self) -> int:
        """UTF-8 bytes of the text of the unknown tokens."""
        return self.counts.unknown_bytes

    @property
    def size(self) -> int:
        """Bytes of the ids on disk."""
        return sum(file.size for file in self._shards)

    @cached_property
    def _arrays(self) -> list[np.ndarray]:
        if self.size <= VERIFY_LIMIT:
            self.verify()
        return [file.open() for file in self._shards]

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum([0, *(file.length for file in self._shards)])

    def shards(self) -> list[np.ndarray]:
        """Memory-mapped ids [N] in an unsigned type, in order."""
        return list(self._arrays)

    def read(self, start: int, stop: int) -> np.ndarray:
        """A copy of `ids[start:stop]` as int32; offsets count over all shards and are clipped as in a slice."""
        start, stop = max(start, 0), min(stop, self.num_tokens)
        out = np.empty(max(stop - start, 0), np.int32)
        for shard, begin in zip(self._arrays, self._starts, strict=False):
            low, high = max(start, begin), min(stop, begin + len(shard))
            if low < high:
                out[low - start : high - start] = read_slice(shard, int(low - begin), int(high - begin))
        return out

    @cached_property
    def document_ends(self) -> np.ndarray:
        """int64: for each document, the offset behind its last id."""
        return np.array(self._document_ends.open())

    @cached_property
    def document_starts(self) -> np.ndarray:
        """int64 [D]: for each document, the offset of its first id."""
        return np.concatenate([np.zeros(1, np.int64), self.document_ends])[:-1]

    @property
    def has_labels(self) -> bool:
        """Whether labels and text of documents are there."""
        return isinstance(self._documents, LabelledDocuments)

    @property
    def labelled(self) -> LabelledDocuments:
        """Labels and text of documents. Raises DataError, with the cure, if they are not there."""
        if not isinstance(self._documents, LabelledDocuments):
            raise without_labels(self._path)
        return self._documents

    @property
    def texts(self) -> Documents:
        """Text of documents. Raises DataError, with the cure, if it is not there."""
        if self._documents is None:
            hint = (
                "`lmtool tokenize --label FIELD …` or `--target FIELD` makes it with them, and with the documents' text"
            )
            raise DataError(f"{self._path} has no labels and no targets", hint)
        return self._documents

    @property
    def _path(self) -> Path:
        """Of the dataset."""
        return self._document_ends.path.parent

    @property
    def label_ids(self) -> np.ndarray:
        """int64 [D], where each document has one label.

        Raises:
            DataError: if there are no labels, or a document has none or several.
        """
        return self.labelled.label_ids

    @property
    def label_matrix(self) -> np.ndarray:
        """bool [D, C]: which labels each document has. Raises DataError if there are none."""
        return self.labelled.label_matrix

    def document(self, number: int) -> Document:
        """One document, counted from 0. Raises DataError if the dataset holds no text."""
        text = self.texts.text(number)
        return Document(self.read(int(self.document_starts[number]), int(self.document_ends[number])), text)

    def documents(self) -> Iterator[Document]:
        """All of them, in order; some are read ahead."""
        texts = self.texts
        for number, ids in enumerate(pieces(self.read, self.document_ends)):
            yield Document(ids, texts.text(number))

    @property
    def has_targets(self) -> bool:
        """Whether targets, and text of documents, are there."""
        return self._targets is not None

    @property
    def target_files(self) -> TargetFiles:
        """Targets as they lie on disk. Raises DataError, with the cure, if they are not there."""
        if self._targets is None:
            raise without_targets(self._path)
        return self._targets

    @property
    def target_counts(self) -> Counts:
        """Figures of the first targets; each is a line and a document, and its end is counted as that of a line is.

        Raises:
            DataError: if there are no targets, as do all that speak of them.
        """
        return self.target_files.counts

    @property
    def target_lengths(self) -> np.ndarray:
        """int64 [D]: ids of each document's first target, without the end."""
        return self.target_files.lengths

    def target(self, number: int) -> np.ndarray:
        """int32 [L]: the first target of one document, counted from 0, without the end."""
        return self.target_files.target(number)

    def targets(self) -> Iterator[np.ndarray]:
        """The first target of each document, in order; some are read ahead."""
        return self.target_files.targets()

    def references(self, number: int) -> tuple[str, ...]:
        """All targets of one document, as text; the first one is what training learns."""
        return self.target_files.references(number)

    def verify(self) -> None:
        """Compare the checksums of ids. Raises DataError naming the damaged file."""
        for file in (*self._shards, self._document_ends):
            file.verify()


__all__ = ["Split"]
