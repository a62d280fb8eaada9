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
    "yields itself": (
        "@hookimpl\ndef lmtool_register_models(): return Component(name='x', target='a:b', summary='s')",
        "failed",
        "'Component' object is not iterable",
    ),
    "yields one twice": (
        "@hookimpl\ndef lmtool_register_models(): return [Component(name='x', target='a:b', summary='s')] * 2",
        "failed",
        "lmtool_register_models yields 'x' twice",
    ),
    "no summary": (
        "@hookimpl\ndef lmtool_register_models(): yield Component(name='x', target='a:b', summary=None)",
        "failed",
        "x: `summary` (=None) must be a string",
    ),
    "odd capabilities": (
        "@hookimpl\ndef lmtool_register_models():"
        " yield Component(name='x', target='a:b', summary='s', capabilities={1})",
        "failed",
        "x: `capabilities` (={1}) must be strings",
    ),
    "odd version": (
        "@hookimpl\ndef lmtool_register_models(): yield Component(name='x', target='a:b', summary='s', version='2')",
        "failed",
        "x: `version` (='2') must be a whole number",
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
            yield Component(name="byte", target="nowhere:Byte", summary="another one", capabilities={"fixed"})
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


def package_with_a_helper(plugin_site, helper):
    """A plugin that is a package, whose entry module imports another one; the path of that one."""
    package = plugin_site.folder / "lmtool_pair"
    package.mkdir()
    (package / "helper.py").write_text(helper)
    plugin_site.add("lmtool-pair", "\n    from lmtool_pair import helper" + GOOD)
    (plugin_site.folder / "lmtool_pair.py").rename(package / "__init__.py")
    return package / "helper.py"


def test_a_failure_is_remembered_and_the_error_says_how_to_look_again(lmtool, plugin_site, tmp_path):
    looks = tmp_path / "looks"
    code = f"open({str(looks)!r}, 'a').write('look\\n')\n"
    plugin_site.add("lmtool-broken", code + "raise RuntimeError('no such luck')")

    first, second = (lmtool("plugins", "list") for _ in range(2))

    assert looks.read_text() == "look\n"
    assert first.stderr.endswith("failed: RuntimeError: no such luck\n")
    assert second.stderr.endswith("RuntimeError: no such luck; `lmtool plugins list --refresh` looks again\n")
    assert lmtool("plugins", "list", "--refresh").stderr == first.stderr
    assert looks.read_text() == "look\n" * 2


def test_a_failure_is_forgotten_when_any_module_of_the_package_changes(lmtool, plugin_site):
    helper = package_with_a_helper(plugin_site, "def (")
    assert statuses(lmtool("plugins", "list", "--json")) == {"main": "failed"}

    helper.write_text("")

    assert statuses(lmtool("plugins", "list", "--json")) == {"good": "active"}


def test_a_plugin_that_was_killed_is_looked_at_again(lmtool, plugin_site, tmp_path):
    plugin_site.add(
        "lmtool-good",
        f"""
    import os, pathlib, signal
    if not pathlib.Path({str(tmp_path / "memory")!r}).exists(): os.kill(os.getpid(), signal.SIGKILL)
    """
        + GOOD,
    )

    killed = lmtool("plugins", "list", "--json")
    (tmp_path / "memory").touch()

    assert statuses(killed) == {"main": "failed"}
    assert "was killed by signal 9 while it was imported; `LMTOOL_DISABLE_PLUGINS=main` leaves it out" in killed.stderr
    assert statuses(lmtool("plugins", "list", "--json")) == {"good": "active"}


def test_a_plugin_that_took_too_long_is_looked_at_again(lmtool, plugin_site, tmp_path):
    plugin_site.add(
        "lmtool-good",
        f"""
    import pathlib, time
    if not pathlib.Path({str(tmp_path / "fast")!r}).exists(): time.sleep(60)
    """
        + GOOD,
    )
    impatient = "from lmtool.plugins import index; index.PROBE_TIMEOUT = 1; from lmtool.__main__ import main; main()"

    slow = lmtool.python("-c", impatient, "plugins", "list", "--json")
    (tmp_path / "fast").touch()

    assert statuses(slow) == {"main": "failed"}
    assert "took more than 1 s to import; `LMTOOL_DISABLE_PLUGINS=main` leaves it out" in slow.stderr
    assert statuses(lmtool("plugins", "list", "--json")) == {"good": "active"}


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
    assert (
        done.stderr == "error: no model named 'ltsm' (did you mean 'lstm'?); "
        "installed: arpa, bag, cnn, copy-source, dynamic, ensemble, gru, lead, linear, lstm, mixture, ngram, rnn, "
        "sliding-window, text-ensemble, textcnn\n"
    )


def test_show_gives_settings_defaults_and_docs(lmtool):
    done = lmtool("plugins", "show", "ngram")

    assert done.code == 0
    assert done.stdout.startswith("model ngram: ")
    assert "order: whole number ≥ 1 ≤ 10, default " in done.stdout


COMMAND = """
    import typer
    app = typer.Typer()
    @app.command()
    def command(): print("of", __name__)
    @hookimpl
    def lmtool_register_commands():
        yield CommandSpec(name={name!r}, target=__name__ + ":app", summary="say whose it is")
"""


def test_a_command_that_two_distributions_give_must_be_said_in_full(lmtool, plugin_site):
    for distribution in ("lmtool-one", "lmtool-two"):
        plugin_site.add(distribution, COMMAND.format(name="hello"))

    plain = lmtool("hello")

    assert plain.code == 3
    error = plain.stderr.splitlines()[-1]
    assert error == "error: command 'hello' is given by lmtool-one and lmtool-two; say which: `lmtool-one:hello`"
    assert lmtool("lmtool-two:hello").stdout == "of lmtool_two\n"


def test_a_command_with_the_name_of_a_built_in_one_is_a_clash(lmtool, plugin_site):
    plugin_site.add("lmtool-clash", COMMAND.format(name="eval"))

    done = lmtool("plugins", "list", "--json")

    assert statuses(done) == {"eval": "clash"}
    (line,) = done.stderr.splitlines()
    assert "command 'eval' is built in" in line
    assert lmtool("eval", "nowhere").stderr.startswith("error: no run nowhere")
    assert lmtool("lmtool-clash:eval").stdout == "of lmtool_clash\n"


def test_the_plugin_host_knows_every_command_of_lmtool():
    from lmtool import plugins
    from lmtool.cli import main

    assert list(plugins.COMMANDS) == list(main.COMMANDS)


@pytest.mark.parametrize("target", ["nowhere:app", "os:nothing", "os:sep", "lmtool_broken_command:app"])
def test_a_command_that_cannot_be_loaded_is_one_line(lmtool, plugin_site, target):
    plugin_site.add("lmtool-broken", COMMAND.format(name="hello").replace('__name__ + ":app"', repr(target)))
    (plugin_site.folder / "lmtool_broken_command.py").write_text("raise ValueError('no such luck')")

    done = lmtool("hello")

    assert done.code == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: command 'hello' cannot be loaded: ")


def test_settings_that_are_no_config_are_one_line(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD.replace("summary=", "config='os:sep', summary="))

    done = lmtool("plugins", "show", "good")

    assert done.code == 3
    assert done.stderr == (
        "error: model 'good' of lmtool-good cannot be used: its settings, os:sep, are no lmtool.config.Config\n"
    )


def test_the_schema_leaves_out_what_cannot_be_used(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD.replace("summary=", "config='os:sep', summary="))

    done = lmtool("config", "schema")

    *schemas, _ = done.json["properties"]["model"]["oneOf"]  # the last is for a model that is another run's
    models = [schema["properties"]["name"]["const"] for schema in schemas]
    assert models == [
        "arpa",
        "bag",
        "cnn",
        "copy-source",
        "dynamic",
        "ensemble",
        "gru",
        "lead",
        "linear",
        "lstm",
        "mixture",
        "ngram",
        "rnn",
        "sliding-window",
        "text-ensemble",
        "textcnn",
    ]
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: not in the schema: model 'good' of lmtool-good cannot be used: ")


def test_a_target_that_exits_when_it_is_imported_is_one_line(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD.replace("summary=", "config='good_models:Config', summary="))
    (plugin_site.folder / "good_models.py").write_text("raise SystemExit(0)")

    done = lmtool("plugins", "show", "good")

    assert done.code == 3
    assert "model 'good' of lmtool-good cannot be loaded: SystemExit: 0" in done.stderr


def test_what_a_plugin_prints_by_whatever_means_disturbs_nobody(lmtool, plugin_site):
    plugin_site.add("lmtool-good", "\n    import os; os.system('echo hello'); os.write(1, b'{')" + GOOD)

    done = lmtool("plugins", "list", "--json")

    assert statuses(done) == {"good": "active"}
    assert done.stderr == ""


def test_a_python_file_in_the_working_folder_is_not_taken_for_a_library(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD)
    (lmtool.cwd / "pluggy.py").write_text("raise RuntimeError('not the real one')")

    done = lmtool.python("-P", "-m", "lmtool", "plugins", "list", "--json")

    assert statuses(done) == {"good": "active"}


def test_a_distribution_without_a_name_is_listed_all_the_same(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD)
    (plugin_site.folder / "lmtool_good-1.0.dist-info" / "METADATA").unlink()

    done = lmtool("plugins", "list", "--json")

    assert done.code == 0
    assert statuses(done) == {"good": "active"}


def test_show_looks_for_a_full_name_in_the_kinds_that_its_distribution_gives(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD.replace('"good"', '"byte"'))

    done = lmtool("plugins", "show", "lmtool-good:byte")

    assert done.code == 0
    assert done.stdout.startswith("model byte: ")


def test_check_knows_no_more_than_it_may(lmtool, plugin_site):
    plugin_site.add("lmtool-good", GOOD)

    done = lmtool("--no-plugins", "plugins", "check", "model", "good")

    assert done.code == 3
    assert done.stderr.startswith("error: no model named 'good'")


FAMILY = """
    @hookimpl
    def lmtool_register_optimizers():
        for name in ("optax", "shelf"):
            yield Component(
                name=name, target="shelf:make", config="shelf:SHELF", summary="many", capabilities={"family"}
            )
"""
SHELF = """
from pydantic import Field

from lmtool.config import Config
from lmtool.errors import PluginError


class Book(Config):
    \"\"\"One of them.\"\"\"

    pages: int = Field(7, description="how many")


class Shelf:
    def members(self):
        return ["book"]

    def config_class(self, member):
        if member != "book":
            raise PluginError(f"no {member} on the shelf")
        return Book


SHELF = Shelf()
"""


def test_a_family_of_a_third_party_stands_for_many(lmtool, plugin_site):
    plugin_site.add("lmtool-shelf", FAMILY, modules={"shelf": SHELF})

    listed, shown = lmtool("plugins", "show", "shelf"), lmtool("plugins", "show", "lmtool-shelf:shelf:book")
    wrong, bare = lmtool("plugins", "show", "shelf:pen"), lmtool("plugins", "check", "optimizer", "shelf")

    assert listed.stdout.endswith("one of them is said by `shelf:NAME`:\n  book\n")
    assert "optimizer shelf:book: many" in shown.stdout
    assert "pages: whole number, default 7" in shown.stdout
    assert "no pen on the shelf" in wrong.stderr
    assert "say which optimizer of 'shelf' is meant: `shelf:NAME`" in bare.stderr


def test_a_built_in_family_comes_before_one_of_a_third_party(lmtool, plugin_site):
    plugin_site.add("lmtool-shelf", FAMILY, modules={"shelf": SHELF})

    own, theirs = (lmtool("plugins", "show", name, "--json") for name in ("optax:adam", "lmtool-shelf:optax:book"))

    assert own.json["components"][0]["distribution"] == "lmtool"
    assert theirs.json["components"][0]["distribution"] == "lmtool-shelf"


def test_listing_plugins_imports_no_family(lmtool):
    done = lmtool("plugins", "list", "--json")

    assert "optax" in {row["name"] for row in done.json["plugins"]}
