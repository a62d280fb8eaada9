"""The example plugins work as their READMEs say, installed as far as Python can tell."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lmtool.testing.corpus import TINY_TEXT

EXAMPLES = Path(__file__).parents[2] / "examples"

TRIALS = {
    "lmtool-cautious": (
        ["--model", "lstm", "--optimizer", "cautious"],
        "cautious",
        "learning_rate: number > 0, default 0.002",
    ),
    "lmtool-mingru": (["--model", "mingru"], "mingru", "hidden_size: whole number ≥ 1, default 256"),
    "lmtool-short-sentence": (
        ["--task", "reinforce-lm", "--set", "model.init_from=start", "--set", "task.reward=short-sentence"],
        "short-sentence",
        "the share of texts that are short sentences",
    ),
}
"""Folder to the options that use the plugin, its component, and a line of that component's documentation."""


def test_every_example_is_tried():
    assert {folder.name for folder in EXAMPLES.iterdir()} == set(TRIALS)


@pytest.fixture(params=TRIALS)
def example(request):
    return EXAMPLES / request.param


@pytest.fixture
def installed(tmp_path, lmtool, example):
    """The `lmtool` fixture sees the example; what pip would write is written from its pyproject.toml."""
    project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["lmtool"].items())
    (info / "entry_points.txt").write_text(f"[lmtool]\n{points}")
    lmtool.environment = {"PYTHONPATH": os.pathsep.join([str(example), str(tmp_path / "site")])}
    return lmtool


def test_the_example_is_documented_and_trains(installed, example, tmp_path):
    options, component, line = TRIALS[example.name]
    (tmp_path / "train.txt").write_text(TINY_TEXT)

    small = ("--data", "train.txt", "--set", "model.hidden_size=8", "--set", "training.max_steps=2")
    shown = installed("plugins", "show", component)
    if "model.init_from=start" in options:
        assert installed("train", "--model", "lstm", *small, "-o", "start").code == 0
    trained = installed("train", *options, *small, "-o", "run")

    assert line in shown.stdout
    assert trained.code == 0, trained.stderr


def test_the_example_passes_its_own_conformance_test(installed, example):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(example / "tests")],
        capture_output=True,
        text=True,
        env=os.environ | installed.environment,
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
