"""The JSON file that says what a folder is: a dataset's `dataset.json`, a run's `run.json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read_record(
    file: Path,
    what: str,
    *,
    version: int,
    check: Callable[[Any], None],
    makes_one: str,
    repair: str | None = None,
) -> dict[str, Any]:
    """A record as it was written.

    Args:
        file: In the folder that it describes; its `format` must be `lmtool-` and `what`.
        what: `dataset` or `run`, for messages.
        version: The newest format version that is understood.
        check: Raises KeyError, TypeError, ValueError or AttributeError if an entry is missing or wrong.
        makes_one: The hint if there is none.
        repair: The hint if it is damaged.

    Raises:
        DataError: if it is missing, damaged, or of a newer version.
    """
    folder = file.parent
    try:
        record = json.loads(file.read_bytes())
        if record["format"] != f"lmtool-{what}":
            raise ValueError(f"format is {record['format']!r}")
        found = int(record["version"])
        check(record)
    except (FileNotFoundError, NotADirectoryError):
        missing = f"{folder} is not a {what}: it has no {file.name}" if folder.exists() else f"no {what} {folder}"
        raise DataError(missing, hint=makes_one) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is damaged: {error}", hint=repair) from None
    if found > version:
        raise DataError(
            f"{folder} has format version {found}; this lmtool reads up to {version}",
            hint="`pip install --upgrade lmtool`",
        )
    return dict(record)


__all__ = ["read_record"]
