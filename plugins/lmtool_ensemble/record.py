"""`ensemble.json`: what an ensemble notes of its members."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

RECORD = "ensemble.json"
FORMAT = 1


def write_record(folder: Path, values: Mapping[str, Any]) -> None:
    """Write it with the format's version before what is noted."""
    text = json.dumps({"format": FORMAT, **values}, indent=2, ensure_ascii=False)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """What `parse` makes of the record.

    Raises:
        DataError: if the file is missing, of another format, or damaged: `parse` raises ValueError, KeyError or
            TypeError then.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
        if record["format"] != FORMAT:
            raise DataError(f"{path}: format {record['format']} is not known", "a newer lmtool may read it")
        return parse(record)
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is damaged") from None


__all__ = ["read_record", "write_record"]
