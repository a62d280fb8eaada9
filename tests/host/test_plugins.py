"""The plugin host: what is loaded, what is not, and what a broken plugin can do (nothing)."""

from __future__ import annotations

import pytest

GOOD = """
    @hookimpl
    def lmtool_register_models():
        yield Component(name="good", target="good_models:Good", summary="a model that a third party ships")
"""


def statuses(done):
    return {row["name"]: row["status"] for row in done.json["plugins"] if row["distribution"] != "lmtool"}


def test_a_third_party_component_is_listed_with_all_that_the_list_promises(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD, version="2.3")

    done = lmtool("plugins", "list", "--json")

    row = next(row for row in done.json["plugins"] if row["name"] == "good")
    assert row["kind"] == "model"
    assert row["distribution"] == "lmtool-good"
    assert row["version"] == "2.3"
    assert row["status"] == "active"
    assert done.stderr == ""


BROKEN = {
    "raises on import": ("raise RuntimeError('no such luck')", "failed", "RuntimeError: no such luck"),
    "ends the process": ("import os; os._exit(7)", "failed", "ended the process that imported it (status 7)"),
    "exits": ("import sys; sys.exit('bye')", "failed", "SystemExit: bye"),
    "syntax error": ("def (", "failed", "SyntaxError"),
    "misspelt hook": (
        "@hookimpl\ndef lmtool_register_modles(): yield",
        "failed",
        "no hook is called lmtool_register_modles (did you mean 'lmtool_register_models'?)",
    ),
    "hook raises": ("@hookimpl\ndef lmtool_register_models(): raise KeyError('x')", "failed", "KeyError: 'x'"),
    "yields something else": (
        "@hookimpl\ndef lmtool_register_models(): yield 'lstm'",
        "failed",
        "must yield Component",
    ),
    "malformed name": (
        "@hookimpl\ndef lmtool_register_models(): yield Component(name='My Model', target='a:b', summary='s')",
        "failed",
        "`name` (='My Model') must be lower-case letters, digits and hyphens",
    ),
    "wrong api": (
        "@hookimpl\ndef lmtool_register_models(): yield Component(name='new', target='a:b', summary='s', api=99)",
        "incompatible",
        "model 'new' is made for version 99 of the plugin api, this lmtool has version 1",
    ),
}


@pytest.mark.parametrize(("code", "status", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_one_line_and_a_status_and_the_rest_works(lmtool, plugin_site, code, status, reason):
    plugin_site.add("lmtool-broken", code)
    plugin_site.add("lmtool-good", GOOD)

    done = lmtool("plugins", "list", "--json")

    assert done.code == 0
    assert statuses(done) == {"main": status, "good": "active"}
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: plugin main (lmtool-broken) {status}: ")
    assert reason in line
    assert lmtool("tokenize", "--tokenizer", "byte", "-", input="a\n").stdout == "97\n"


def test_a_built_in_name_means_the_built_in_one_and_the_other_can_be_said(lmtool, plugin_site):
    plugin_site.add(
        "lmtool-clash",
        """
        @hookimpl
        def lmtool_register_tokenizers():
            yield Component(name="byte", target="nowhere:Byte", summary="another byte tokenizer", capabilities={"fixed"})
        """,
    )

    done = lmtool("plugins", "list", "--json")

    assert statuses(done) == {"byte": "clash"}
    (line,) = done.stderr.splitlines()
    assert "tokenizer 'byte' is built in" in line
    assert "`lmtool-clash:byte`" in line
    assert lmtool("tokenize", "--tokenizer", "byte", "-", input="a\n").stdout == "97\n"
    chosen = lmtool("tokenize", "--tokenizer", "lmtool-clash:byte", "-", input="a\n")
    assert chosen.code == 3
    assert "tokenizer 'byte' of lmtool-clash cannot be loaded: No module named 'nowhere'" in chosen.stderr


def test_a_name_that_two_distributions_give_must_be_said_in_full(lmtool, plugin_site):
    for distribution in ("lmtool-one", "lmtool-two"):
        plugin_site.add(distribution, GOOD.replace("good_models", distribution.replace("-", "_")))

    done = lmtool("train", "--model", "good", "--data", "x", "-o", "run")

    assert done.code == 3
    error = done.stderr.splitlines()[-1]
    assert error == "error: model 'good' is given by lmtool-one and lmtool-two; say which: `lmtool-one:good`"


def test_a_plugin_that_the_environment_disables_is_not_even_imported(lmtool, plugin_site, tmp_path):
    plugin_site.add("lmtool-noisy", f"open({str(tmp_path / 'imported')!r}, 'w')")
    plugin_site.add("lmtool-good", GOOD, entry_point="good")

    for variable, value in (("LMTOOL_DISABLE_PLUGINS", "lmtool-noisy"), ("LMTOOL_PLUGINS", "good")):
        lmtool.environment[variable] = value
        assert statuses(lmtool("plugins", "list", "--json")) == {"main": "disabled", "good": "active"}
        del lmtool.environment[variable]

    assert not (tmp_path / "imported").exists()


def test_an_empty_allow_list_or_no_plugins_leaves_the_built_ins_only(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD)

    assert statuses(lmtool("--no-plugins", "plugins", "list", "--json")) == {}
    lmtool.environment["LMTOOL_PLUGINS"] = ""
    assert statuses(lmtool("plugins", "list", "--json")) == {"main": "disabled"}


def test_a_built_in_plugin_can_be_disabled_too(lmtool):
    lmtool.environment["LMTOOL_DISABLE_PLUGINS"] = "lmtool-lstm"

    done = lmtool("train", "--model", "lstm", "--data", "x", "-o", "run")

    assert done.code == 3
    assert "no model named 'lstm'" in done.stderr
    assert "lmtool-lstm (disabled)" in done.stderr


def test_a_plugin_that_changed_is_looked_at_again(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD)
    lmtool("plugins", "list")

    code = plugin_site.folder / "lmtool_good.py"
    code.write_text(code.read_text().replace('name="good"', 'name="better"'))

    assert statuses(lmtool("plugins", "list", "--json")) == {"better": "active"}


def test_a_damaged_index_costs_a_second_look_only(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD)
    lmtool("plugins", "list")
    (index,) = (plugin_site.folder / "cache").glob("plugins-*.json")

    index.write_text('{"half a fi')

    assert statuses(lmtool("plugins", "list", "--json")) == {"good": "active"}


def test_a_plugin_adds_a_command(lmtool, plugin_site):
    plugin_site.add(
        "lmtool-hello",
        """
        import typer
        app = typer.Typer()
        @app.command()
        def hello(name: str): print("hello", name)
        @hookimpl
        def lmtool_register_commands():
            yield CommandSpec(name="hello", target="lmtool_hello:app", summary="say hello")
        """,
    )

    assert lmtool("hello", "you").stdout == "hello you\n"


def test_an_unknown_component_names_what_there_is(lmtool):
    done = lmtool("train", "--model", "ltsm", "--data", "x", "-o", "run")

    assert done.code == 3
    assert done.stderr == "error: no model named 'ltsm' (did you mean 'lstm'?); installed: cnn, lstm, ngram\n"


def test_show_gives_settings_defaults_and_docs(lmtool):
    done = lmtool("plugins", "show", "ngram")

    assert done.code == 0
    assert done.stdout.startswith("model ngram: ")
    assert "order: whole number ≥ 1 ≤ 10, default " in done.stdout
