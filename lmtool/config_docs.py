"""A config as a document: a commented template, and the JSON schema that editors and scripts check against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticUndefined

from lmtool.config import COMPONENT_SECTIONS, CORE_SECTIONS, DEFAULT_NAMES, SECTIONS, Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmtool.registry import Registry


def template(registry: Registry, names: Mapping[str, str]) -> str:
    """A TOML file with every setting, its default and a comment that says what it is.

    Args:
        registry: Where the components come from.
        names: Section to component, for those that are not the default: `{"model": "lstm"}`.

    Raises:
        PluginError: if a component is unknown.
    """
    lines: list[str] = []
    for section in SECTIONS:
        if section in CORE_SECTIONS:
            lines += ["", f"[{section}]", *_settings(CORE_SECTIONS[section])]
            continue
        found = registry.find(section, names.get(section) or DEFAULT_NAMES.get(section, ""))
        if section == "optimizer" and "fitted" in registry.find("model", names["model"]).component.capabilities:
            continue
        lines += ["", f"[{section}]  # {found.component.summary}", f'name = "{found.component.name}"']
        lines += _settings(found.config_class())
    return "\n".join(lines).lstrip("\n") + "\n"


def _settings(schema: type[Config]) -> Iterator[str]:
    import tomli_w

    for name, info in schema.model_fields.items():
        comment = f"  # {info.description}" if info.description else ""
        default = info.get_default(call_default_factory=True)
        if default is None or default is PydanticUndefined:
            # What has no default is shown, but commented out: TOML has no word for "none".
            yield f"# {name} ={comment}"
        elif isinstance(default, dict):
            inline = ", ".join(tomli_w.dumps({key: value}).strip() for key, value in default.items())
            yield f"{name} = {{{inline}}}{comment}" if default else f"# {name} = {{}}{comment}"
        else:
            yield f"{tomli_w.dumps({name: _plain(default)}).strip()}{comment}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | frozenset | set) else value


def json_schema(registry: Registry) -> dict[str, Any]:
    """The JSON schema (2020-12) of a config file, with every installed component's settings."""
    sections: dict[str, Any] = {name: schema.model_json_schema() for name, schema in CORE_SECTIONS.items()}
    for kind in COMPONENT_SECTIONS:
        sections[kind] = {"oneOf": [_component_schema(registry, kind, name) for name in registry.names(kind)]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lmtool run",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: sections[name] for name in SECTIONS},
    }


def _component_schema(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    found = registry.find(kind, name)
    schema = found.config_class().model_json_schema()
    schema["title"] = f"{kind} {name}"
    schema["description"] = found.component.summary
    schema["properties"] = {"name": {"const": name}, **schema.get("properties", {})}
    if name != DEFAULT_NAMES.get(kind):
        schema["required"] = ["name", *schema.get("required", [])]
    return schema
