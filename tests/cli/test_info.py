"""`lmtool info`: what a report of a fault should hold."""

from __future__ import annotations

import platform

from lmtool import __version__


def test_it_names_versions_devices_and_plugins(lmtool):
    done = lmtool("info", "--json")

    facts = done.json
    assert (done.code, facts["schema"]) == (0, 1)
    assert (facts["lmtool"], facts["python"]) == (__version__, platform.python_version())
    assert facts["devices"]["devices"][0].startswith("cpu:0")
    assert facts["devices"]["error"] is None
    assert facts["plugins"]["active"] >= 9


def test_a_broken_jax_is_a_fact_to_report(lmtool):
    (lmtool.cwd / "jax.py").write_text("raise RuntimeError('no such\\n device')")
    lmtool.environment = {"PYTHONPATH": str(lmtool.cwd)}

    done, plain = lmtool("info", "--json"), lmtool("info")

    assert (done.code, plain.code) == (0, 0)
    assert done.json["devices"] == {"backend": None, "devices": [], "error": "RuntimeError: no such device"}
    assert "none: RuntimeError: no such device" in plain.stdout
