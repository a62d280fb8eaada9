"""The docs: what they quote is what the files say, and they leave nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lmtool.errors import ExitCode
from lmtool.plugins.probe import HOOKS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUOTE = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_quoted_files_are_quoted_as_they_are(page):
    for name, quoted in QUOTE.findall(page.read_text()):
        assert quoted == (ROOT / name).read_text(), f"{page.name} quotes {name} as it was"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_hook_is_documented():
    text = (ROOT / "docs/reference/hooks.md").read_text()

    assert [hook for hook in HOOKS if f"`{hook}`" not in text] == []


def test_every_exit_code_is_documented():
    text = (ROOT / "docs/reference/exit-codes.md").read_text()

    assert [code for code in ExitCode if f"| {code.value} | {code.name.lower()} |" not in text] == []


def options(command):
    """Every option of a command and of its sub-commands: (command line, option)."""
    import typer

    stack = [("", command)]
    while stack:
        path, one = stack.pop()
        context = typer.Context(one, info_name=path)
        names = one.list_commands(context) if hasattr(one, "list_commands") else []
        stack += [(f"{path} {name}".strip(), one.get_command(context, name)) for name in names]
        for parameter in one.params:
            for option in parameter.opts:
                if option.startswith("--") and "completion" not in option:
                    yield path, option


def test_every_option_is_documented():
    from typer.main import get_command

    from lmtool.cli.main import app

    text = (ROOT / "docs/reference/cli.md").read_text()
    sections = dict(re.findall(r"^#+ `lmtool ?([^`]*)`\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))

    missing = [f"{path} {option}" for path, option in options(get_command(app)) if option not in sections.get(path, "")]

    assert missing == []


def test_every_setting_of_the_core_is_documented():
    from lmtool.config import CORE_SECTIONS

    text = (ROOT / "docs/reference/config.md").read_text()
    sections = dict(re.findall(r"^## `\[(\w+)\]`\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))

    missing = [
        f"{name}.{key}"
        for name, schema in CORE_SECTIONS.items()
        for key in schema.model_fields
        if f"`{key}`" not in sections[name]
    ]

    assert missing == []


def test_the_readme_lists_every_page():
    text = (ROOT / "README.md").read_text()

    assert [page.name for page in PAGES[2:] if f"({page.relative_to(ROOT)})" not in text] == []


def test_the_page_for_contributors_has_every_module_of_the_core_in_the_order_of_imports():
    import tomllib

    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    modules = {
        path.stem for path in (ROOT / "lmtool").iterdir() if (path / "__init__.py").is_file() or path.suffix == ".py"
    }
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    place = {name: number for number, layer in enumerate(layers) for name in layer.replace("lmtool.", "").split(" | ")}

    rows = rows[rows.index("__main__") :]  # before these are the folders

    assert sorted(rows) == sorted(modules - {"__init__"})
    assert [place[name] for name in rows] == sorted(place[name] for name in rows)


def test_every_built_in_optimizer_is_documented_with_its_settings():
    from lmtool.registry import Registry

    text = (ROOT / "docs/reference/optimizers.md").read_text()
    registry = Registry(third_party=False)
    found = [registry.find("optimizer", name) for name in registry.names("optimizer") if name not in ("optax", "vadg")]
    assert len(found) >= 8

    assert [one.name for one in found if f"| `{one.name}` |" not in text] == []
    # ε stands in the formulas
    settings = {key for one in found for key in one.config_class().model_fields} - {"eps"}
    assert [key for key in sorted(settings) if f"`{key}`" not in text] == []


def test_every_built_in_model_is_documented_with_its_settings_and_their_defaults():
    from lmtool.registry import Registry

    text = (ROOT / "docs/reference/models.md").read_text()
    sections = re.findall(r"^### (.*?)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    registry = Registry(third_party=False)

    def row(key, field):
        default = "needed" if field.is_required() else field.get_default(call_default_factory=True)
        shown = "" if default is None else default if field.is_required() else f"`{json.dumps(default)}`"
        return f"| `{key}` | {shown} | {field.description} |"

    named = [(name, part) for heading, part in sections for name in re.findall(r"`([^`]+)`", heading)]
    assert sorted(name for name, _ in named) == sorted(registry.names("model"))
    rows = [
        (name, row(key, field), part)
        for name, part in named
        for key, field in registry.find("model", name).config_class().model_fields.items()
    ]
    assert [(name, row) for name, row, part in rows if row not in part.splitlines()] == []


def test_every_setting_of_the_task_is_documented():
    from lmtool.registry import Registry

    text = (ROOT / "docs/reference/config.md").read_text()
    section = text[text.index("## `[task]`") : text.index("## `[model]`")]
    parts = dict(re.findall(r'^With `name = "([\w-]+)"`(.*?)(?=^With `name = "|\Z)', section, re.MULTILINE | re.DOTALL))
    registry = Registry(third_party=False)
    settings = {name: registry.find("task", name).config_class().model_fields for name in registry.names("task")}

    assert {"lm", "classify", "span"} <= parts.keys() <= settings.keys()
    assert [(name, key) for name in parts for key in settings[name] if f"`{key}`" not in parts[name]] == []


def test_the_five_minutes_of_the_readme_work_as_they_stand(lmtool):
    import shlex
    import subprocess
    import sys

    text = (ROOT / "README.md").read_text()
    tour = text[text.index("## Five minutes") : text.index("## A plugin")]
    commands = [line for block in re.findall(r"^```bash\n(.*?)^```", tour, re.M | re.S) for line in block.splitlines()]
    assert len(commands) >= 8
    for command in commands:
        runnable = command.replace("lmtool ", f"{shlex.quote(sys.executable)} -m lmtool ")

        done = subprocess.run(["bash", "-c", runnable], cwd=lmtool.cwd, capture_output=True, text=True)

        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout, command


def test_the_commands_of_the_chinese_readme_are_those_of_the_english_one():
    commands = [
        {line for block in re.findall(r"^```bash\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)
         for line in block.splitlines()}
        for name in ("README.md", "README.zh-CN.md")
    ]  # fmt: skip

    assert commands[1] <= commands[0]
    assert len(commands[1]) >= 8
