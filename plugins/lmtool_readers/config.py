"""Settings of the built-in readers."""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import Field, field_validator

from lmtool.config import Config
from lmtool_readers.newsgroups import strip

Parts = list[Literal["headers", "footers", "quotes"]]
REMOVE = "parts of newsgroup posts to leave out: headers, footers, quotes"
ENCODING = "of the files: utf-8, latin-1, gb18030, …; not one of those with two bytes for a line end"


def _check_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
        if "\n".encode(name) != b"\n":
            raise ValueError(f"'{name}' spells a line end in other bytes than ASCII does")
    except LookupError:
        raise ValueError(f"no encoding '{name}'") from None
    return name


class Removing:
    """Settings of a reader of documents, of which parts may be left out."""

    remove: Parts

    def prepared(self, text: str) -> str:
        """See `lmtool.api.Reader`."""
        return strip(text, self.remove)


class JsonLinesConfig(Removing, Config):
    LATER = frozenset({"remove"})

    text_field: str | list[str] = Field(
        "text", min_length=1, description="the field that holds a document's text, or several, a line or more each"
    )
    remove: Parts = Field([], description=REMOVE)


class ParquetConfig(Removing, Config):
    text_field: str | list[str] = Field(
        "text", min_length=1, description="the column that holds a document's text, or several, a line or more each"
    )
    remove: Parts = Field([], description=REMOVE)


class CsvConfig(Removing, Config):
    text_field: str | int = Field("text", description="the column of a document's text: its name, or its number from 1")
    header: bool = Field(True, description="the first row names the columns; without names they are 1, 2, …")
    delimiter: str = Field(",", min_length=1, max_length=1, description="sign between the fields of a row")
    quote: str = Field('"', max_length=1, description="sign around fields that hold a delimiter; empty for none")
    label_field: str | int = Field("label", description="the column that `label_separator` divides")
    label_separator: str | None = Field(None, min_length=1, description="sign between labels, where a row has several")
    encoding: str = Field("utf-8", description=ENCODING)
    remove: Parts = Field([], description=REMOVE)

    _encoding = field_validator("encoding")(_check_encoding)


class TsvConfig(CsvConfig):
    delimiter: str = Field("\t", min_length=1, max_length=1, description="sign between the fields of a row")


class FolderConfig(Removing, Config):
    classes: list[str] = Field([], description="sub-folders that are read; all if left out")
    encoding: str = Field("utf-8", description=ENCODING)
    remove: Parts = Field([], description=REMOVE)

    _encoding = field_validator("encoding")(_check_encoding)


class SklearnConfig(Removing, Config):
    remove: Parts = Field([], description=REMOVE)
    download: bool = Field(True, description="fetch what is not in scikit-learn's cache")


class ParallelConfig(Config):
    encoding: str = Field("utf-8", description=ENCODING)
    skip_blank: bool = Field(False, description="leave out pairs of which the source or the first target is blank")

    _encoding = field_validator("encoding")(_check_encoding)


class FastTextConfig(Removing, Config):
    prefix: str = Field("__label__", min_length=1, description="what the words that are labels begin with")
    remove: Parts = Field([], description=REMOVE)
