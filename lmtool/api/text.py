"""Text in: the contracts of readers and tokenizers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lmtool.array_types import Stream


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of a corpus: one or more whole lines of one document.

    A large document is given in several records, so that nobody needs to hold it at once.
    """

    text: str
    """Lines joined by `\\n`, without the last line's end."""
    last: bool = True
    """False if the same document goes on in the next record."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the source says of the document: labels, targets."""


class Reader(Protocol):
    """Reads one format. Made by `target(config)`.

    The config may have `prepared(text)`: what the settings leave of a document's text. `lmtool predict` reads records
    from elsewhere so.

    A reader of `scheme:name` sources may have `files(source)`, the names of the files behind one: a dataset's key then
    stands for their bytes, and a change while they are read is noticed.
    """

    def read(self, source: str) -> Iterator[Record]:
        """The records of one source, in order, in bounded memory.

        Args:
            source: A file's path, `-` for stdin, or the rest of a `scheme:name` that the reader is registered for.

        Raises:
            DataError: names the source, the line and the cure.
        """
        ...


class Tokenizer(Protocol):
    """Lines of text to ids and back. A pure, deterministic, picklable value.

    An id of `eos_id` stands for the end of a line and nothing else; `encode` never yields it.
    """

    vocab_size: int
    eos_id: int
    unk_id: int | None
    """None if every text can be encoded."""
    unit: Literal["byte", "char", "word", "subword"]
    """What one token is: with `word`, a token is one whitespace-separated word."""
    merges_words: bool
    """True if different words may share ids without being unknown, as where case is dropped."""
    fingerprint: str
    """Hash of everything that decides the ids."""

    @classmethod
    def train(cls, lines: Iterable[str], config: Any) -> Tokenizer:
        """A tokenizer whose vocabulary comes from `lines` (the training text alone)."""
        ...

    def encode(self, line: str) -> list[int]:
        """The ids of one line, without `eos_id`."""
        ...

    def encode_batch(self, lines: Sequence[str]) -> Stream:
        """The ids of many lines in one stream, `eos_id` after each line. Must equal `encode` line by line."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text again; `eos_id` becomes a line end. `decode(encode(s)) == s` up to what the docs of it state."""
        ...

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as a printable string."""
        ...

    def save(self, folder: Path) -> None:
        """Write plain files (JSON, text) into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Raises DataError if a file is missing or damaged."""
        ...


class TextTokenizer(Tokenizer, Protocol):
    """What a tokenizer may offer besides, for speed: work on whole blocks of lines. Either method may be missing."""

    @classmethod
    def train_text(cls, blocks: Iterable[str], config: Any) -> Tokenizer:
        """What `train` gives for the lines of all blocks; a block is about 1 MB of lines, joined by `\\n`."""
        ...

    def encode_text(self, text: str) -> Stream:
        """What `encode_batch` gives for the lines of `text`, each of which ends with `\\n`.

        Several threads call it at once, so it is worth having where it runs without the interpreter's lock.
        """
        ...
