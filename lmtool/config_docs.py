"""A config as a document: a commented template, and the JSON schema that editors and scripts check against."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticUndefined

from lmtool import pretrained
from lmtool.config import COMPONENT_SECTIONS, CORE_SECTIONS, DEFAULT_NAMES, SECTIONS, Config
from lmtool.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmtool.registry import Registry


logger = logging.getLogger("lmtool.config")


def template(registry: Registry, names: Mapping[str, str]) -> str:
    """A TOML file with every setting, its default and a comment that says what it is.

    Args:
        registry: Where the components come from.
        names: Section to component, for those that are not the default: `{"model": "lstm"}`.

    Raises:
        PluginError: if a component is unknown.
        ConfigError: if an optimizer is asked for and the model takes no steps.
    """
    lines: list[str] = []
    fitted = "fitted" in registry.find("model", names["model"]).component.capabilities
    if fitted and "optimizer" in names:
        raise ConfigError(f"[optimizer] has no use: model '{names['model']}' is counted, it takes no steps")
    for section in SECTIONS:
        if section in CORE_SECTIONS:
            lines += ["", f"[{section}]", *_settings(CORE_SECTIONS[section], section)]
            continue
        if section == "optimizer" and fitted:
            continue
        name = names.get(section) or DEFAULT_NAMES[section]
        found = registry.find(section, name)
        written = [f"[{section}]  # {_one_line(found.component.summary)}", f'name = "{name}"']
        if section == "model" and not fitted:
            written += [f"# {pretrained.KEY} =  # {pretrained.DESCRIPTION}"]
        written += _settings(found.config_class(), section)
        if section == "tokenizer" and section not in names:
            # A dataset brings its own, and another one would be an error.
            written = ["# for raw text; a dataset (data.path) brings its own", *(f"# {line}" for line in written)]
        lines += ["", *written]
    return "\n".join(lines).lstrip("\n") + "\n"


def _settings(schema: type[Config], section: str) -> Iterator[str]:
    """A line a setting; tables of settings, which TOML wants behind all others, are the last."""
    import tomli_w

    tables: list[str] = []
    for name, info in schema.model_fields.items():
        comment = f"  # {_one_line(info.description)}" if info.description else ""
        default = info.get_default(call_default_factory=True)
        if isinstance(default, Config):
            path = f"{section}.{name}"
            tables += ["", f"[{path}]{comment}", *_settings(type(default), path)]
        elif default is None or default is PydanticUndefined:
            # What has no default is shown, but commented out: TOML has no word for "none".
            yield f"# {name} ={comment}"
        elif isinstance(default, dict):
            inline = ", ".join(tomli_w.dumps({key: value}).strip() for key, value in default.items())
            yield f"{name} = {{{inline}}}{comment}" if default else f"# {name} = {{}}{comment}"
        else:
            yield f"{tomli_w.dumps({name: _plain(default)}).strip()}{comment}"
    yield from tables


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | frozenset | set) else value


def json_schema(registry: Registry) -> dict[str, Any]:
    """The JSON schema (2020-12) of a config file, with the settings of every installed component that can be used."""
    sections: dict[str, Any] = {name: _schema(schema) for name, schema in CORE_SECTIONS.items()}
    for kind in COMPONENT_SECTIONS:
        schemas = [_component_schema(registry, kind, name) for name in registry.names(kind)]
        known = [schema for schema in schemas if schema]
        sections[kind] = {"oneOf": [*known, _MODEL_OF_RUN] if kind == "model" else known}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lmtool run",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: sections[name] for name in SECTIONS},
    }


def _schema(settings: type[Config]) -> dict[str, Any]:
    """With tables of settings where they stand: references would point into another document than the whole one."""
    schema = settings.model_json_schema()
    tables = schema.pop("$defs", {})

    def inlined(value: Any) -> Any:
        if isinstance(value, list):
            return [inlined(one) for one in value]
        if not isinstance(value, dict):
            return value
        rest = {key: inlined(one) for key, one in value.items() if key != "$ref"}
        return {**inlined(tables[value["$ref"].removeprefix("#/$defs/")]), **rest} if "$ref" in value else rest

    found: dict[str, Any] = inlined(schema)
    return found


_INIT_FROM = {"type": "string", "description": pretrained.DESCRIPTION}
_MODEL_OF_RUN = {
    "title": "model of another run",
    "type": "object",
    "properties": {pretrained.KEY: _INIT_FROM},
    "required": [pretrained.KEY],
    "not": {"required": ["name"]},
}
"""Its settings are those of the run's model; which they are cannot be said here."""


def _component_schema(registry: Registry, kind: str, name: str) -> dict[str, Any] | None:
    """None, and a warning, for one that is broken or that two distributions give."""
    try:
        found = registry.find(kind, name)
        # A family's members, and so their settings, are not to be imported for this.
        schema: dict[str, Any] = {"type": "object"} if found.is_family else _schema(found.config_class())
    except PluginError as error:
        logger.warning("not in the schema: %s", error.message)
        return None
    schema["title"] = f"{kind} {name}"
    schema["description"] = found.component.summary
    meant = {"type": "string", "pattern": f"^{name}:"} if found.is_family else {"const": name}
    schema["properties"] = {"name": meant, **schema.get("properties", {})}
    if kind == "model" and "backbone" in found.component.capabilities:
        schema["properties"][pretrained.KEY] = _INIT_FROM
    if name != DEFAULT_NAMES.get(kind):
        schema["required"] = ["name", *schema.get("required", [])]
    return schema
