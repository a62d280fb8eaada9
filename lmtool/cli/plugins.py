"""`lmtool plugins`: what is installed, what it offers, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.plugins import listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.registry import Found

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, add_completion=False, help="List plugins and what they offer."
)


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    refresh: Annotated[bool, typer.Option(help="Look at every plugin again.")] = False,
) -> None:
    """List every component with its kind, distribution, version and status."""
    listing.show(third_party=terminal.settings.third_party, as_json=as_json, refresh=refresh)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="A component's name, as in `lstm` or `distribution:lstm`.")],
    kind: Annotated[str | None, typer.Option(help="Its kind, where several have the name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show a component's documentation, settings and their defaults."""
    found = _find(name, kind)
    if as_json:
        terminal.answer_json({"schema": 1, "components": [_describe(one) for one in found]})
        return
    for index, one in enumerate(found):
        if index:
            terminal.answer("")
        _print(one)


@app.command("check")
def check_command(
    kind: Annotated[str, typer.Argument(help="reader, tokenizer, model, optimizer, evaluator or augmentation.")],
    name: Annotated[str, typer.Argument(help="The component's name.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value: settings to check it with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check that a component does what every plugin of its kind must do; exit 1 if it does not."""
    from lmtool.errors import ExitCode, UsageError
    from lmtool.raw_config import Raw, apply_overrides
    from lmtool.testing import checks

    _check_kind(kind)
    raw = Raw()
    apply_overrides(raw, [f"{kind}.{override}" for override in overrides or ()])
    try:
        todo = checks(kind, name, raw.values.get(kind), terminal.registry())
    except ValueError as error:
        raise UsageError(str(error)) from None
    outcomes: dict[str, tuple[str, str]] = {}
    with terminal.progress() as shown:
        for done, (label, check) in enumerate(todo.items()):
            shown.update(label, done / len(todo))
            outcomes[label] = _outcome(check)
    passed, skipped, failed = (
        {label: reason for label, (state, reason) in outcomes.items() if state == wanted}
        for wanted in ("ok", "skipped", "failed")
    )
    if as_json:
        found = {"passed": list(passed), "skipped": skipped, "failed": failed}
        terminal.answer_json({"schema": 1, "kind": kind, "name": name, **found})
    else:
        for label, (state, reason) in outcomes.items():
            terminal.answer(f"{state:7} {label.replace('_', ' ')}" + (f": {reason}" if reason else ""))
        terminal.answer(f"{len(passed)} passed, {len(skipped)} skipped, {len(failed)} failed")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _outcome(check: Callable[[], None]) -> tuple[str, str]:
    """What came of a property's check, `ok`, `skipped` or `failed`, and why, in one line."""
    from lmtool.testing import Skipped

    try:
        check()
    except Skipped as reason:
        return "skipped", str(reason)
    except Exception as error:  # a plugin under test may raise anything
        return "failed", " ".join(f"{type(error).__name__}: {error}".split())
    return "ok", ""


def _find(name: str, kind: str | None) -> list[Found]:
    from lmtool.api import KINDS
    from lmtool.errors import PluginError, did_you_mean

    registry = terminal.registry()
    if kind is not None:
        _check_kind(kind)
        return [registry.find(kind, name)]
    found = [registry.find(one, name) for one in KINDS if registry.has(one, name)]
    if not found:
        every = sorted({known for one in KINDS for known in registry.names(one)})
        raise PluginError(f"no component named '{name}'{did_you_mean(name, every)}", hint="see `lmtool plugins list`")
    return found


def _check_kind(kind: str) -> None:
    from lmtool.api import KINDS
    from lmtool.errors import UsageError, did_you_mean

    if kind not in KINDS:
        raise UsageError(f"no kind '{kind}'{did_you_mean(kind, KINDS)}; kinds: {', '.join(KINDS)}")


def _describe(found: Found) -> dict[str, Any]:
    import inspect

    schema = {} if found.is_family else found.config_class().model_json_schema()
    return {
        "kind": found.kind,
        "name": found.name,
        "summary": found.component.summary,
        "distribution": found.plugin.distribution,
        "version": found.plugin.version,
        "behaviour_version": found.component.version,
        "api": found.component.api,
        "capabilities": sorted(found.component.capabilities),
        "target": found.component.target,
        "doc": inspect.cleandoc(schema.pop("description", "")),
        "settings": schema.get("properties", {}),
        "required": schema.get("required", []),
        **({"members": found.members()} if found.is_family else {}),
    }


def _print(found: Found) -> None:
    about = _describe(found)
    terminal.answer(f"{about['kind']} {about['name']}: {about['summary']}")
    terminal.answer(f"from {about['distribution']} {about['version']}, {about['target']}")
    if about["capabilities"]:
        terminal.answer(f"can: {', '.join(about['capabilities'])}")
    if about["doc"]:
        terminal.answer(f"\n{about['doc']}")
    if found.is_family:
        terminal.answer(f"\none of them is said by `{found.name}:NAME`:")
        for member in about["members"]:
            terminal.answer(f"  {member}")
        return
    fields = found.config_class().model_fields
    terminal.answer("\nsettings:" if fields else "\nno settings")
    for name, info in fields.items():
        default = "required" if info.is_required() else f"default {_toml(info.get_default(call_default_factory=True))}"
        terminal.answer(f"  {name}: {_type_name(about['settings'][name])}, {default}")
        if info.description:
            terminal.answer(f"      {info.description}")


def _toml(value: Any) -> str:
    import json

    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _type_name(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(_toml(value) for value in schema["enum"])
    if "const" in schema:
        return _toml(schema["const"])
    if "anyOf" in schema:
        return " or ".join(_type_name(one) for one in schema["anyOf"] if one.get("type") != "null")
    name = {"integer": "whole number", "array": "list", "object": "table"}.get(schema.get("type", ""))
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([name or schema.get("type", "value"), *bounds])


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
