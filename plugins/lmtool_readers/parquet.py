"""Parquet: each row is one document, its text in one column; the other columns are fields. Needs pyarrow."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.data.sources import STDIN, cannot_read, spool
from lmtool.errors import DataError, PluginError
from lmtool_readers.documents import document, no_field, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Record
    from lmtool_readers.config import ParquetConfig

ROWS = 256
"""Rows that are turned into Python's objects at once."""


class ParquetReader:
    """Rows in batches. Columns of text, numbers, truth values, lists and structs of them are fields; no others.

    What Hugging Face's `datasets` wrote about a column of classes is used: numbers become the names of classes.

    Raises:
        PluginError: if pyarrow is not installed.
    """

    def __init__(self, config: ParquetConfig) -> None:
        self.config = config
        self.text_fields = [config.text_field] if isinstance(config.text_field, str) else config.text_field
        try:
            self._parquet: Any = import_module("pyarrow.parquet")
            self._arrow: Any = import_module("pyarrow")
        except ImportError:
            message = "reader 'parquet' needs the package pyarrow, which is not installed"
            raise PluginError(message, hint="`pip install 'lmtool[parquet]'`") from None

    def read(self, source: str) -> Iterator[Record]:
        with self._open(source) as file:
            schema = file.schema_arrow
            names = self._columns(schema, source)
            classes = _classes(schema.metadata or {})
            number = 0
            for batch in self._batches(file, names, source):
                for fields in batch.to_pylist():
                    number += 1
                    text = text_of(fields, self.text_fields, f"{source}, row {number}", what="column")
                    rest = {
                        name: _named(value, classes[name]) if name in classes else value
                        for name, value in fields.items()
                        if name not in self.text_fields
                    }
                    yield from document(text, rest, remove=self.config.remove)

    def _columns(self, schema: Any, source: str) -> list[str]:
        """Names of those that are read. Raises DataError if one of the text is missing."""
        inner = [name for field in schema for name in self._names(field.name, field.type)]
        for name in self.text_fields:
            if name not in inner and name not in schema.names:
                raise no_field(source, name, inner, what="column")
        wanted = {name for name in schema.names for text in self.text_fields if f"{text}.".startswith(f"{name}.")}
        return [field.name for field in schema if field.name in wanted or self._is_plain(field.type)]

    def _names(self, name: str, kind: Any) -> list[str]:
        """Of a column, or of what lies in it: see `lmtool.data.fields`."""
        if not self._arrow.types.is_struct(kind) or not kind.num_fields:
            return [name]
        parts = [kind.field(number) for number in range(kind.num_fields)]
        return [inner for part in parts for inner in self._names(f"{name}.{part.name}", part.type)]

    def _open(self, source: str) -> Any:
        path = Path(source)
        try:
            # A pipe cannot be read from its end, where Parquet's table of contents is.
            return self._parquet.ParquetFile(path if source != STDIN and path.is_file() else spool(source))
        except OSError as error:
            raise cannot_read(source, error) from None
        except self._arrow.ArrowException as error:
            raise self._damaged(source, error) from None

    def _batches(self, file: Any, names: list[str], source: str) -> Iterator[Any]:
        try:
            yield from file.iter_batches(batch_size=ROWS, columns=names)
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged(source, error) from None

    def _damaged(self, source: str, error: Exception) -> DataError:
        reason = str(error).splitlines()[0].lower()
        return DataError(f"{source} is not a Parquet file, or damaged: {reason}", hint="make or fetch the file again")

    def _is_plain(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_list(kind) or types.is_large_list(kind) or types.is_dictionary(kind):
            return self._is_plain(kind.value_type)
        if types.is_struct(kind):
            return all(self._is_plain(kind.field(number).type) for number in range(kind.num_fields))
        return bool(
            types.is_string(kind)
            or types.is_large_string(kind)
            or types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_boolean(kind)
        )


def _classes(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of classes by column, as `datasets` keeps them; nothing if there are none or they cannot be read."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"].items()
        items = ((name, one.get("feature", one) if isinstance(one, dict) else one[0]) for name, one in features)
        return {name: list(one["names"]) for name, one in items if one.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        return {}


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


__all__ = ["ParquetReader"]
