"""What documents are labelled with: a field of their records to names of classes, and to ids."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.fields import field_of, names_of_fields
from lmtool.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WHOLE_NUMBER = re.compile("-?[0-9]+")
_SHOWN = 12
"""Names in a message."""


@dataclass(frozen=True)
class Labels:
    """The labels that a dataset knows. A label's id is its place in `names`."""

    field: str
    """Of the records that they were read from."""
    names: tuple[str, ...]
    """Of the C classes, sorted; by value where all are whole numbers."""
    multi: bool
    """True if a document may have any number of labels, False if it has one."""

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Labels:
        """Raises KeyError or TypeError if it is not what `to_json` gave."""
        return cls(str(entry["field"]), tuple(map(str, entry["names"])), bool(entry["multi"]))

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "names": list(self.names), "multi": self.multi}


def names_of(value: Any) -> list[str]:
    """The labels that a field holds: each once, in order; none for null, an empty text and NaN.

    Raises:
        TypeError: if a label is neither text nor a number nor a truth value.

    >>> names_of("sport"), names_of(3), names_of(True), names_of(["b", "a", "b"]), names_of(None)
    (['sport'], ['3'], ['true'], ['b', 'a'], [])
    """
    values = value if isinstance(value, (list, tuple)) else [value]
    return list(dict.fromkeys(name for one in values if (name := _name_of(one)) is not None))


def _name_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return None if math.isnan(value) else repr(value)
    if isinstance(value, int):
        return str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError(f"a label must be a text or a number, got {value!r:.40}")
    value.encode()  # half of a surrogate pair is a UnicodeEncodeError, which is a ValueError
    return value


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted; by value where all are whole numbers.

    >>> in_order(["10", "9", "-1"]), in_order(["10", "9", "x"])
    (('-1', '9', '10'), ('10', '9', 'x'))
    """
    names = list(names)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def known_labels(path: Path) -> Labels | None:
    """The labels of a dataset, or those that a run learned; None if there are none, or nothing is left that tells.

    Raises:
        DataError: if the folder's record is damaged.
    """
    if record := _record_of(path / "dataset.json"):
        return Labels.from_json(record["labels"]) if "labels" in record else None
    learned_from = _record_of(path / "run.json").get("dataset", {})
    if learned_from.get("labels"):
        return Labels.from_json(learned_from["labels"])
    if "path" not in learned_from:
        return None
    dataset = _record_of(Path(learned_from["path"]) / "dataset.json")
    # Another dataset may lie in its place by now.
    same = "labels" in dataset and dataset["key"] == learned_from["key"]
    return Labels.from_json(dataset["labels"]) if same else None


def _record_of(file: Path) -> dict[str, Any]:
    """What a folder's record says; nothing if it is not there. Raises DataError if it is damaged."""
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_bytes())
        if (entry := record.get("dataset", record)).get("labels"):
            Labels.from_json(entry["labels"])
        return dict(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is damaged: {error}") from None


class LabelIds:
    """Gives labels their ids: learned from the training text, which comes first, and known from then on.

    While they are learned, an id is the place of a label's first appearance: what was written so is put right by
    `learned`.

    Args:
        field: Of the records.
        known: What is known already; None to learn it.
    """

    def __init__(self, field: str, known: Labels | None = None) -> None:
        self.field, self.labels = field, known
        self._ids = {name: i for i, name in enumerate(known.names)} if known else {}
        self._multi = False
        self._fields: dict[str, None] = {}

    def ids(self, fields: Mapping[str, Any], where: str) -> list[int]:
        """Of the labels of a document.

        Args:
            fields: Of its record.
            where: What it is called in messages.

        Raises:
            DataError: if a label cannot be one, or is not known.
        """
        value = field_of(fields, self.field)
        try:
            names = names_of(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: field '{self.field}': {error}") from None
        if self.labels is None:
            self._multi |= isinstance(value, (list, tuple))
            if not self._ids:
                self._fields.update(dict.fromkeys(names_of_fields(fields)))
            return [self._ids.setdefault(name, len(self._ids)) for name in names]
        if len(names) > 1 and not self.labels.multi:
            what = f"{where} has {len(names)} labels ({listed(names)}), documents of the training text one"
            raise DataError(what, hint="write the labels of the training text as lists, too, if a document has several")
        if unknown := [name for name in names if name not in self._ids]:
            raise _unknown(unknown[0], where, self.labels.names)
        return [self._ids[name] for name in names]

    def learned(self, ids: np.ndarray) -> np.ndarray:
        """End learning: the ids of the training text, as `ids` gave them, become the right ones, int32 [L].

        Raises:
            DataError: if there were no labels.
        """
        names = in_order(self._ids)
        if not names:
            raise self._none()
        self.labels = Labels(self.field, names, self._multi)
        places = np.empty(len(names), np.int32)
        places[[self._ids[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        self._ids = {name: i for i, name in enumerate(names)}
        right: np.ndarray = places[ids]
        return right

    def _none(self) -> DataError:
        near = did_you_mean(self.field, list(self._fields))
        message = f"no document of the training text has a label in a field '{self.field}'{near}"
        if not self._fields:
            return DataError(message, hint="what reads this text knows no fields; labels are in JSON Lines, CSV, …")
        return DataError(message, f"its fields are {listed(list(self._fields))}; `--label` or data.label names one")


def without_labels(path: Path) -> DataError:
    """The error for a dataset that was made without labels where some are wanted."""
    return DataError(f"{path} has no labels", "`lmtool tokenize --label FIELD …` or data.label makes it with them")


def _unknown(name: str, where: str, names: tuple[str, ...]) -> DataError:
    message = f"{where} has the label '{name}'{did_you_mean(name, names)}, which no document of the training text has"
    return DataError(message, hint=f"labels are {listed(names)}")


def listed(names: Sequence[str]) -> str:
    """The first few of them, for messages: a set may have thousands.

    >>> listed(["ham", "spam"]), listed([str(i) for i in range(13)])
    ('ham, spam', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …')
    """
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def check_classes(setting: str, given: Iterable[str], names: Sequence[str]) -> None:
    """Raise ConfigError for the first class that a setting speaks of and that there is not.

    Args:
        setting: Its name, for the message.
        given: Of classes.
        names: Of all classes.
    """
    for name in given:
        if name not in names:
            what = f"{setting} names '{name}', which is no class{did_you_mean(name, list(names))}"
            raise ConfigError(what, hint=f"classes are {listed(names)}")


__all__ = ["LabelIds", "Labels", "check_classes", "in_order", "known_labels", "listed", "names_of", "without_labels"]
