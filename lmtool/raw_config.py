"""Settings as they are written, before anybody has looked at what they mean: a TOML file, and `--set` over it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtool.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class Raw:
    """Settings before validation, and where each came from (a file's name or `--set`)."""

    values: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    origins: dict[str, str] = field(default_factory=dict)

    def set(self, path: str, value: Any, origin: str) -> None:
        """Put a value at a dotted path; raises ConfigError if a part of the path is not a table."""
        *parents, last = path.split(".")
        table = self.values
        for depth, part in enumerate(parents):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{origin}: {'.'.join(parents[: depth + 1])} is a value, not a table")
        table[last] = value
        self.origins[path] = origin

    def origin(self, path: str) -> str | None:
        """What has set a value over those of the file, by itself or with the table that it is in."""
        parts = path.split(".")
        found = (self.origins.get(".".join(parts[:end])) for end in range(len(parts), 0, -1))
        return next(filter(None, found), None)

    def where(self, path: str) -> str:
        """The start of an error message about a key."""
        if origin := self.origin(path):
            return f"{origin}: "
        for below, origin in self.origins.items():
            if below.startswith(f"{path}."):
                return f"{origin}: "
        return f"{self.source}: " if self.source else ""


def read_raw(path: str | Path | None) -> Raw:
    """A TOML file as it stands. Raises ConfigError if it is missing or malformed."""
    if path is None:
        return Raw()
    try:
        text = Path(path).read_bytes().decode("utf-8")
        return Raw(tomllib.loads(text), source=str(path))
    except FileNotFoundError:
        raise ConfigError(f"no config file {path}", hint="`lmtool config new` writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None


def apply_overrides(raw: Raw, overrides: Iterable[str]) -> None:
    """Apply `a.b=c` settings; c is a TOML value, or a plain string where it is not one."""
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not all(part.strip() for part in path.split(".")):
            raise ConfigError(f"--set {override}: must look like section.key=value")
        raw.set(path.strip(), toml_value(text.strip()), f"--set {override}")


def toml_value(text: str) -> Any:
    """A TOML value, or the text itself where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text  # a text of several lines may look like several settings


def flat(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys."""
    values: dict[str, Any] = {}
    for key, value in sections.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values


__all__ = ["Raw", "apply_overrides", "flat", "read_raw", "toml_value"]
