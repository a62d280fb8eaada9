"""What a model says of itself beside its arrays: a JSON file with a format version, such as `model.json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")


def write_facts(file: Path, facts: Mapping[str, Any], *, version: int = 1) -> None:
    """Write them behind the version of their format, for people to read, too."""
    text = json.dumps({"format": version, **facts}, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read_facts(file: Path, parse: Callable[[dict[str, Any]], T], *, version: int = 1) -> T:
    """What `parse` makes of what `write_facts` wrote.

    Args:
        file: In a model's folder.
        parse: Of the facts without that version. Raises KeyError, TypeError, ValueError or AttributeError if one is
            missing or cannot be.
        version: The one that is understood.

    Raises:
        DataError: if the file cannot be read, is of another version, or damaged.
    """
    try:
        facts = dict(json.loads(file.read_bytes()))
        if (found := facts.pop("format")) != version:
            raise DataError(f"{file}: format {found} is not known, only {version}", hint="a newer lmtool may read it")
        return parse(facts)
    except OSError as error:
        raise DataError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
    except KeyError as error:
        raise DataError(f"{file} is damaged: it has no {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is damaged: {error}") from None


__all__ = ["read_facts", "write_facts"]
