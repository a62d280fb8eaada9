"""Fields of records by name, those inside of others, too: a dot leads into an object, as in `translation.en`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def field_of(fields: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The value of a field. One that is called so as it stands goes before one inside of another.

    Args:
        fields: Of a record.
        name: Of the field.
        default: What is given if there is none.

    >>> field_of({"id": 7, "translation": {"en": "a dog", "de": "ein Hund"}}, "translation.de")
    'ein Hund'
    >>> field_of({"translation.de": "so", "translation": {"de": "not so"}}, "translation.de")
    'so'
    """
    if name in fields:
        return fields[name]
    outer, _, inner = name.partition(".")
    value = fields.get(outer) if inner else None
    return field_of(value, inner, default) if isinstance(value, Mapping) else default


def names_of_fields(fields: Mapping[str, Any]) -> list[str]:
    """How fields are spelled, for messages: those of an object in its place.

    >>> names_of_fields({"id": 7, "translation": {"en": "a dog", "de": "ein Hund"}})
    ['id', 'translation.en', 'translation.de']
    """
    return list(_names(fields))


def _names(fields: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


__all__ = ["field_of", "names_of_fields"]
