"""A check that has nothing to ask of a component is no check that it passed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lmtool.testing import Skipped, checks

ENCODER = {"channels": 4, "num_layers": 1, "causal": False}


def test_what_takes_a_language_model_is_skipped_for_an_encoder():
    of_encoder = checks("model", "cnn", ENCODER)

    for label in ("outputs_are_causal", "carry", "probabilities_sum_to_one"):
        with pytest.raises(Skipped, match="it is an encoder, which reads in both directions"):
            of_encoder[label]()
    of_encoder["output_shapes"]()


def test_the_command_line_says_what_was_skipped_and_why(lmtool):
    done = lmtool("plugins", "check", "optimizer", "sgd")
    as_json = lmtool("plugins", "check", "optimizer", "sgd", "--json").json

    assert "ok      schedule\n" in done.stdout
    assert "skipped samples: it samples no weights\n" in done.stdout
    assert done.code == 0
    assert as_json["skipped"]["samples"] == "it samples no weights"
    assert "samples" not in as_json["passed"]
    passed, skipped = len(as_json["passed"]), len(as_json["skipped"])
    assert done.stdout.endswith(f"\n{passed} passed, {skipped} skipped, 0 failed\n")


def test_pytest_reports_a_skip_with_its_reason(tmp_path):
    (tmp_path / "test_sgd.py").write_text(
        "from lmtool.testing import conformance\n"
        "@conformance('optimizer', 'sgd')\n"
        "def test_sgd(check): check()\n"
    )  # fmt: skip

    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-k", "samples or schedule", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    assert "it samples no weights" in done.stdout
    assert "1 passed, 2 skipped" in done.stdout
