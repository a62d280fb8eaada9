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


# A dataset ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(lmtool):
    (lmtool.cwd / "a.en").write_text("a dog\na man\n")
    (lmtool.cwd / "a.de").write_text("ein hund\nein mann\n")
    options = ["--tokenizer", "word", "--train", "parallel:a.en,a.de", "--target", "target"]
    assert lmtool("tokenize", *options, "-o", "same").code == 0
    assert lmtool("tokenize", *options, "--set", "data.target_tokenizer=char", "-o", "pairs").code == 0
    return lmtool.cwd / "pairs"


def test_it_says_what_a_dataset_is(lmtool, pairs):
    facts, plain, same = (lmtool("info", "pairs", "--json").json, lmtool("info", "pairs"), lmtool("info", "same"))

    assert (facts["schema"], facts["dataset"], facts["verified"]) == (1, "pairs", False)
    assert facts["targets"]["fields"] == ["target"]
    assert facts["targets"]["tokenizer"]["name"] == "char"
    assert facts["splits"]["train"]["targets"]["tokens"] == 8 + 8 + 2  # letters and spaces, two ends
    rows = dict(line.split(maxsplit=1) for line in plain.stdout.splitlines())
    assert rows["text"].startswith("word tokenizer, ")
    assert rows["targets"].startswith("in 'target': char tokenizer, ")
    assert rows["train"] == "6 tokens, 2 lines, 4 words, 2 documents; targets: 18 tokens"
    assert "in 'target': the same tokenizer" in same.stdout


def test_all_of_a_dataset_can_be_verified(lmtool, pairs):
    assert "all files are as they were written" in lmtool("info", "pairs", "--verify").stdout

    file = pairs / "train-references.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    done = lmtool("info", "pairs", "--verify")

    assert (done.code, done.stdout) == (1, "")
    assert "train-references.npy is damaged" in done.stderr


def test_a_run_shows_what_it_learned_to_answer(lmtool, pairs):
    done = lmtool("train", "--task", "seq2seq", "--model", "copy-source", "--data", "pairs", "-o", "run")
    assert done.code == 0, done.stderr

    facts, plain = lmtool("info", "run", "--json").json, lmtool("info", "run").stdout

    assert facts["targets"]["fields"] == ["target"]
    assert facts["targets"]["tokenizer"]["name"] == "char"
    assert "in 'target': char tokenizer, " in plain
