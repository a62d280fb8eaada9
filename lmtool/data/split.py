"""One part of a dataset: the ids of its text, one document after the other, and what is known of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lmtool.api.classes import Document
from lmtool.data.arrays import VERIFY_LIMIT, ArrayFile, read_slice
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.data.counts import Counts
    from lmtool.data.documents import Documents

READ_AHEAD = 1 << 18
"""Ids that are read at once where all documents are."""


class Split:
    """The ids of one part of a dataset: a single stream, each line ended by `eos_id`.

    Labels and text of documents are there if the dataset was made with `data.label`.
    """

    def __init__(
        self,
        name: str,
        counts: Counts,
        shards: list[ArrayFile],
        document_ends: ArrayFile,
        documents: Documents | None = None,
    ) -> None:
        self.name = name
        self.counts = counts
        self._shards, self._document_ends, self._documents = shards, document_ends, documents

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
    def num_chars(self) -> int:
        """Code points, one for each line end included."""
        return self.counts.chars

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
        return self._documents is not None

    @property
    def labelled(self) -> Documents:
        """Labels and text of documents. Raises DataError, with the cure, if they are not there."""
        if self._documents is None:
            path = self._document_ends.path.parent
            raise DataError(
                f"{path} has no labels", "`lmtool tokenize --label FIELD …` or data.label makes it with them"
            )
        return self._documents

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
        text = self.labelled.text(number)
        return Document(self.read(int(self.document_starts[number]), int(self.document_ends[number])), text)

    def documents(self) -> Iterator[Document]:
        """All of them, in order; some are read ahead."""
        texts, starts, ends = self.labelled, self.document_starts, self.document_ends
        number = 0
        while number < len(ends):
            stop = max(number + 1, int(np.searchsorted(ends, starts[number] + READ_AHEAD, "right")))
            ids = self.read(int(starts[number]), int(ends[stop - 1]))
            pieces = np.split(ids, ends[number : stop - 1] - starts[number])
            for one, piece in enumerate(pieces, number):
                yield Document(piece, texts.text(one))
            number = stop

    def verify(self) -> None:
        """Compare all checksums, but for those of labels and text. Raises DataError naming the damaged file."""
        for file in (*self._shards, self._document_ends):
            file.verify()


__all__ = ["Split"]
