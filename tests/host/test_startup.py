"""What is asked ten thousand times a day must not load what it does not need; for speed see benchmarks/startup.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("jax", "jaxlib", "flax", "optax", "orbax", "numpy", "scipy", "sklearn", "tokenizers", "safetensors", "rich"),
    *("sacrebleu", "rouge_score", "nltk"),
}

LIGHT_COMMANDS = (["--help"], ["--version"], ["plugins", "list"], ["plugins", "list", "--json"])


def modules_after(arguments, environment):
    """Names of the top-level modules that a fresh process holds when the command has ended."""
    code = f"""
import sys
sys.argv = ["lmtool", *{arguments!r}]
from lmtool.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*{{name.partition(".")[0] for name in sys.modules}}, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_no_heavy_library_is_loaded(arguments, lmtool, plugin_site):
    import os

    plugin_site.add("lmtool-heavy", "import jax, numpy, rich")
    environment = os.environ | lmtool.environment

    assert not modules_after(arguments, environment) & HEAVY  # also when the plugin is seen for the first time
    assert not modules_after(arguments, environment) & HEAVY


def test_a_heavy_plugin_is_listed_all_the_same(lmtool, plugin_site):
    plugin_site.add(
        "lmtool-heavy",
        """
        import jax
        @hookimpl
        def lmtool_register_models():
            yield Component(name="heavy", target="lmtool_heavy:x", summary="imports JAX at its top level")
        """,
    )

    done = lmtool("plugins", "list")

    assert "imports JAX at its top level" in done.stdout
    assert done.stderr == ""
