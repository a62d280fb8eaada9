"""What every reader must do.

The checks need something to read. For a format, say how lines become a file of it; for a data set by name, give a name:

    from lmtool.testing import readers

    readers.FORMATS["my-format"] = lambda folder, lines: write_it(folder / "example.mine", lines)  # gives the path
    readers.NAMES["my-set"] = "small"
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from lmtool.api import Record
from lmtool.errors import DataError
from lmtool.testing.corpus import TINY_TEXT
from lmtool.testing.subject import Skipped, Subject

LARGEST = 1 << 22
"""Characters that a record may have, unless a single line has more."""

LINES = (
    "a plain line",
    "",
    "  spaces, a tab\tand a no-break\xa0space ",
    "other line ends: \x0b \x0c \x1c \x85 \u2028 \u2029",
    "naïve 春眠不覺曉 👩‍👧 \ufeff",
    "<unk> <eos> \\n \"quoted\" {'a': 1}",
    "",
    "the last line",
)
"""Lines that a reader of a format must give back as they are."""


def _write_text(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "example.txt"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def _write_jsonl(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "example.jsonl"
    path.write_text(json.dumps({"text": "\n".join(lines), "label": 1}) + "\n")
    return path


def _write_table(delimiter: str) -> Callable[[Path, Sequence[str]], Path]:
    def write(folder: Path, lines: Sequence[str]) -> Path:
        path = folder / "example.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([["label", "text"], ["1", "\n".join(lines)]])
        return path

    return write


def _write_parquet(folder: Path, lines: Sequence[str]) -> Path:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    path = folder / "example.parquet"
    parquet.write_table(arrow.table({"text": ["\n".join(lines)], "label": [1]}), path)
    return path


def _write_fasttext(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "example.ft"
    path.write_bytes("".join(f"__label__1 {line}\n" for line in lines).encode())
    return path


def _write_parallel(folder: Path, lines: Sequence[str]) -> Path:
    targets = folder / "example.target"
    targets.write_bytes(b"1\n" * len(lines))
    return Path(f"{_write_text(folder, lines)},{targets}")


def _write_folder(folder: Path, lines: Sequence[str]) -> Path:
    (folder / "example" / "label").mkdir(parents=True)
    _write_text(folder / "example" / "label", lines)
    return folder / "example"


FORMATS: dict[str, Callable[[Path, Sequence[str]], Path]] = {
    "text": _write_text,
    "jsonl": _write_jsonl,
    "csv": _write_table(","),
    "tsv": _write_table("\t"),
    "parquet": _write_parquet,
    "fasttext": _write_fasttext,
    "parallel": _write_parallel,
    "folder": _write_folder,
}
"""Reader to a function that writes lines as one document into a folder and gives the file's path."""

NAMES: dict[str, str] = {"builtin": "pydoc#valid", "sklearn": "20newsgroups#test"}
"""Reader to the name of a small data set."""


@contextmanager
def _example(subject: Subject, lines: Sequence[str]) -> Iterator[str]:
    """A source that the reader can read: made of the lines, or one that it has itself."""
    name = subject.component.name
    if name in NAMES:
        yield NAMES[name]
        return
    assert name in FORMATS, f"say how an example is written: lmtool.testing.readers.FORMATS[{name!r}] = …, or NAMES"
    with tempfile.TemporaryDirectory(prefix="lmtool-check-") as folder:
        yield str(FORMATS[name](Path(folder), lines))


def _read(subject: Subject, source: str) -> list[Record]:
    return list(subject.load()(subject.config).read(source))


def check_records(subject: Subject) -> None:
    """Records hold whole lines: no `\\r`, no line end at the end of a document, the last record ends its document."""
    with _example(subject, LINES) as source:
        records = _read(subject, source)
    assert records, "the example gives no record"
    for record in records:
        assert isinstance(record, Record), f"`read` must give records, got {type(record).__name__}"
        assert isinstance(record.fields, Mapping)
        assert "\r" not in record.text, "line ends must be \\n"
    assert records[-1].last, "the last record must end its document"


def check_lines(subject: Subject) -> None:
    """A reader of a format gives the lines of a file as they are, and only `\\n` ends one."""
    if subject.component.name in NAMES:
        raise Skipped("it has a text of its own and reads no files")
    with _example(subject, LINES) as source:
        lines = [line for record in _read(subject, source) for line in record.text.split("\n")]
    assert lines == list(LINES)


def check_reading_twice(subject: Subject) -> None:
    """Reading twice gives the same records, by one reader or by two."""
    with _example(subject, LINES) as source:
        reader = subject.load()(subject.config)
        first = list(reader.read(source))
        assert list(reader.read(source)) == first, "the same reader gives other records the second time"
        assert _read(subject, source) == first, "another reader gives other records"


def check_bounded_records(subject: Subject) -> None:
    """`read` gives records one by one, and a large document in several of them."""
    lines = TINY_TEXT.splitlines() * 300  # 7 MB
    with _example(subject, lines) as source:
        records = subject.load()(subject.config).read(source)
        assert iter(records) is iter(records), "`read` must be a generator, not give a list"
        largest = max(len(record.text) for record in records)
    assert largest <= LARGEST, f"a record has {largest:,} characters; large documents must come in several records"


def check_missing_source(subject: Subject) -> None:
    """A source that is not there is a DataError that names it."""
    name, message = "no-such-source", None
    try:
        _read(subject, name)
    except DataError as error:
        message = error.message
    assert message is not None, "reading a source that is not there raises no DataError"
    assert name in message, f"the error does not name the source: {message}"


CHECKS = (check_records, check_lines, check_reading_twice, check_bounded_records, check_missing_source)
