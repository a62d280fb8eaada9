"""Sources to records and lines: which reader reads what, and what was in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.config import Choice, choose_inline
from lmtool.data.fields import field_of
from lmtool.data.sources import STDIN, Source, cannot_read, expand, spool
from lmtool.errors import DataError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lmtool.api import Reader, Record
    from lmtool.data.holdout import Share
    from lmtool.registry import Registry

BUILT_IN = ("text", "jsonl")
DEFAULT = "text"


@dataclass(frozen=True)
class Reading:
    """A source and the reader that reads it."""

    source: Source
    choice: Choice
    share: Share | None = None
    """The part of its documents that is wanted; None for all."""

    def records(self) -> Iterator[Record]:
        """Its records, in order; those of the wanted documents."""
        records = self._all_records()
        return self.share.of(records) if self.share else records

    def _all_records(self) -> Iterator[Record]:
        return self._reader.read(self.source.target)

    @property
    def _reader(self) -> Reader:
        reader: Reader = self.choice.load()(self.choice.config)
        return reader

    @property
    def files(self) -> tuple[Path, ...]:
        """Where its bytes lie; of a data set by name its reader may know (`lmtool.api.Reader`), else there are none.

        What a pipe gives is kept in a file: it is read twice.
        """
        if self.source.scheme is None:
            return (_kept(self.source.name),)
        found = getattr(self._reader, "files", None)
        return tuple(map(_kept, found(self.source.target))) if found else ()

    def digest(self, fields: Sequence[str] = ()) -> str:
        """sha256 of what is in it: files' bytes as they are on disk; where there are none, text and these fields."""
        digests = [digest_of_file(path, self.source.name) for path in self.files]
        if len(digests) > 1:
            return hashlib.sha256(" ".join(digests).encode()).hexdigest()
        return digests[0] if digests else self._digest_of_text(fields)

    def state(self) -> list[tuple[int, int]]:
        """Size and time of change of its files."""
        try:
            found = [path.stat() for path in self.files]
        except OSError as error:
            raise cannot_read(self.source.name, error) from None
        return [(status.st_size, status.st_mtime_ns) for status in found]

    def _digest_of_text(self, fields: Sequence[str]) -> str:
        state = hashlib.sha256()
        for record in self._all_records():
            state.update(record.text.encode())
            state.update(b"\n\0" if record.last else b"\n")
            for field in fields if record.last else ():
                state.update(repr(field_of(record.fields, field)).encode() + b"\0")
        return state.hexdigest()

    @property
    def called(self) -> str:
        """What its documents are counted among, in messages."""
        if self.share is None:
            return self.source.name
        what = "holds out of" if self.share.held_out else "leaves of"
        return f"what data.valid_fraction {what} {self.source.name}"

    def describe(self) -> dict[str, Any]:
        """The reader, its settings and the part that is wanted, for keys."""
        share = {"share": self.share.describe()} if self.share else {}
        return {**self.choice.found.record(), "settings": self.choice.config.identity(), **share}


def _kept(name: str) -> Path:
    """The file of this name, or one of what the pipe gives."""
    return Path(name) if name != STDIN and Path(name).is_file() else spool(name)


def digest_of_file(path: Path, name: str | None = None) -> str:
    """sha256 of a file. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise cannot_read(name or str(path), error) from None


def readings(specs: Sequence[str], reader: Mapping[str, Any], registry: Registry) -> list[Reading]:
    """What is to be read for the sources that a user named.

    Args:
        specs: Files, globs, folders, `-`, `scheme:name`.
        reader: `name` and settings of the reader for files; without a name, settings of those that go by suffix.
        registry: Where readers are looked up.

    Raises:
        DataError: if a source is missing, or a pattern or folder gives nothing.
        PluginError: if a reader or scheme is unknown.
    """
    chosen = choose_inline("reader", reader, registry, "data.reader") if "name" in reader else None
    settings = {} if chosen else reader
    sources = expand(specs, _suffixes(chosen, specs, registry))
    return [Reading(source, _choose(source, chosen, settings, registry)) for source in sources]


def _choose(source: Source, chosen: Choice | None, settings: Mapping[str, Any], registry: Registry) -> Choice:
    if source.scheme:
        return _by_scheme(source, chosen, settings, registry)
    if chosen:
        return chosen
    name = next((n for n in BUILT_IN if source.suffix in _reads(n, registry)), None)
    if name is None and source.suffix:
        name = next((n for n in registry.names("reader") if source.suffix in _reads(n, registry)), None)
    return choose_inline("reader", {"name": name or DEFAULT, **settings}, registry, "data.reader")


def _by_scheme(source: Source, chosen: Choice | None, settings: Mapping[str, Any], registry: Registry) -> Choice:
    scheme = str(source.scheme)
    if chosen and chosen.name == scheme:
        return chosen
    try:
        return choose_inline("reader", {"name": scheme, **settings}, registry, "data.reader")
    except PluginError as error:
        raise DataError(f"no file {source.name}, and {error.message}", error.hint) from None


def _suffixes(chosen: Choice | None, specs: Iterable[str], registry: Registry) -> frozenset[str]:
    """Formats to pick up from folders; other plugins are asked only if there is a folder."""
    if chosen:
        return _reads(chosen.name, registry) or _reads(DEFAULT, registry)
    folders = any(Path(spec).is_dir() for spec in specs)
    names = registry.names("reader") if folders else BUILT_IN
    return frozenset().union(*(_reads(name, registry) for name in names))


def _reads(name: str, registry: Registry) -> frozenset[str]:
    capabilities = registry.find("reader", name).component.capabilities
    return frozenset(suffix for suffix in capabilities if suffix.startswith("."))


def reader_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The reader of a dataset's training text: `name` and settings; None if it had several, or they are not known.

    Args:
        record: Of the dataset, `dataset.json`.
    """
    entries = record["splits"].get("train", {}).get("sources", ())
    sources = [source for entry in entries for source in entry.get("sources", [entry])]
    readers = [{"name": one["reader"], **one["settings"]} for one in sources if "settings" in one]
    same = len(readers) == len(sources) > 0 and all(one == readers[0] for one in readers)
    return readers[0] if same else None


__all__ = ["Reading", "digest_of_file", "reader_of", "readings"]
