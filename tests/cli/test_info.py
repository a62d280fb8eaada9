"""`lmtool info`: what a report of a fault should hold."""

from __future__ import annotations

import platform
import shutil

import pytest

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


# A run ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(lmtool, tiny):
    shutil.copytree(tiny / "words", lmtool.cwd / "words")
    return lmtool.cwd / "words"


def test_it_says_what_a_run_is(lmtool, run):
    done, plain = lmtool("info", "words", "--json"), lmtool("info", "words")

    facts = done.json
    assert (facts["schema"], facts["run"], facts["state"], facts["verified"]) == (1, "words", "finished", False)
    assert {"tokenizer", "model"} <= {one["kind"] for one in facts["components"]}
    assert facts["model"]["bytes"] == sum(file.stat().st_size for file in (run / "model").rglob("*"))
    assert "ngram" in plain.stdout


def test_all_of_a_run_can_be_verified(lmtool, run):
    assert lmtool("info", "words", "--verify", "--json").json["verified"] is True

    file = run / "model/log_probs-2.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    done = lmtool("info", "words", "--verify")

    assert (done.code, done.stdout) == (1, "")
    assert "log_probs-2.npy is damaged" in done.stderr
    assert "remove words and train again" in done.stderr


@pytest.mark.parametrize("gone", ["model", "model/SHA256SUMS"])
def test_a_finished_run_without_its_model_is_damaged(lmtool, run, gone):
    shutil.rmtree(run / gone) if (run / gone).is_dir() else (run / gone).unlink()

    done = lmtool("info", "words", "--verify")

    assert (done.code, done.stdout) == (1, "")
    assert "words/model is damaged" in done.stderr


def test_a_checkpoint_without_checksums_is_damaged(lmtool, run):
    (run / "checkpoints/step-00000001").mkdir(parents=True)

    done = lmtool("info", "words", "--verify")

    assert (done.code, done.stdout) == (1, "")
    assert "step-00000001 is damaged" in done.stderr


def test_verify_needs_a_run(lmtool):
    done = lmtool("info", "--verify")

    assert done.code == 2
    assert "lmtool info RUN --verify" in done.stderr
