"""What pydantic finds wrong in a config, as one line for whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from lmtool.raw_config import Raw
    from lmtool.settings import Config

_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "literal_error": "must be one of {expected}",
    "too_short": "must have at least {min_length} entries",
}


def explain(error: Any, schema: type[Config], raw: Raw, section: str) -> ConfigError:
    """One pydantic error as one line: where, which key, what is allowed, what it got."""
    # Branches of a union appear in `loc` as type names ("int"); keys of the config are what the user knows.
    location = [str(part) for part in error["loc"] if not (isinstance(part, str) and part in _UNION_BRANCHES)]
    path = ".".join([section, *location])
    if error["type"] == "extra_forbidden":
        known = list(_table(schema, location[:-1]).model_fields)
        near = did_you_mean(location[-1], known)
        has = ", ".join(known) or "no settings"
        where = ".".join([section, *location[:-1]])
        return ConfigError(f"{raw.where(path)}unknown key {path}{near}", hint=f"[{where}] has {has}")
    if error["type"] == "missing":
        about = schema.model_fields.get(location[0])
        return ConfigError(f"{raw.where(section)}{path} is missing", hint=about.description if about else None)
    context = error.get("ctx", {})
    template = _BOUNDS.get(error["type"])
    reason = template.format(**context) if template else error["msg"][:1].lower() + error["msg"][1:]
    if error["type"] == "value_error" and isinstance(error["input"], dict):  # of a whole table: it says what it got
        return ConfigError(f"{raw.where(path)}{path}: {reason.removeprefix('value error, ')}")
    return ConfigError(f"{raw.where(path)}{path} {reason}, got {_shown(error['input'])}")


def _table(schema: type[Config], location: list[str]) -> type[Config]:
    """The schema of a table inside of another."""
    for name in location:
        inner: Any = schema.model_fields[name].annotation if name in schema.model_fields else None
        if not (isinstance(inner, type) and hasattr(inner, "model_fields")):
            break
        schema = inner
    return schema


_UNION_BRANCHES = frozenset({"int", "float", "str", "bool", "none", "list[int]", "list[str]", "list[float]"})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


__all__ = ["explain"]
