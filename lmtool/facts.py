"""What stands beside a model's arrays in its folder: a JSON file with the version of its format, such as `model.json`.

Not what a fitted model has for a run to note, its attribute `facts`. Datasets and runs have a record: `lmtool.records`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

FORMAT = 1


def write_facts(file: Path, facts: Mapping[str, Any]) -> None:
    """Write them behind the version of their format, for people to read, too."""
    text = json.dumps({"format": FORMAT, **facts}, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read_facts(file: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """What `parse` makes of what `write_facts` wrote.

    Args:
        file: In a model's folder.
        parse: Of the facts without that version. Raises KeyError if one is missing; TypeError, ValueError,
            AttributeError or OverflowError if one cannot be.

    Raises:
        DataError: if the file cannot be read, is of another version, or damaged.
    """
    try:
        facts = dict(json.loads(file.read_bytes()))
        if (found := facts.pop("format")) != FORMAT:
            raise DataError(f"{file}: format {found} is not known, only {FORMAT}", hint="a newer lmtool may read it")
        return parse(facts)
    except OSError as error:
        raise DataError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
    except KeyError as error:
        raise DataError(f"{file} is damaged: it has no {error}") from None
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"{file} is damaged: {error}") from None


__all__ = ["read_facts", "write_facts"]
