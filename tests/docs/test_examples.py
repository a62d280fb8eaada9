"""The example plugin works as its README says, installed as far as Python can tell."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lmtool.testing.corpus import TINY_TEXT

EXAMPLE = Path(__file__).parents[2] / "examples/lmtool-lion"


@pytest.fixture
def installed(tmp_path, lmtool):
    """The `lmtool` fixture sees the example; what pip would write is written from its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"lmtool_lion-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["lmtool"].items())
    (info / "entry_points.txt").write_text(f"[lmtool]\n{points}")
    lmtool.environment = {"PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(tmp_path / "site")])}
    return lmtool


def test_the_example_is_listed_and_trains(installed, tmp_path):
    (tmp_path / "train.txt").write_text(TINY_TEXT)

    shown = installed("plugins", "show", "lion")
    trained = installed(
        *("train", "--model", "lstm", "--optimizer", "lion", "--data", "train.txt", "-o", "run"),
        *("--set", "model.hidden_size=8", "--set", "training.max_steps=2"),
    )

    assert "learning_rate: number > 0, default 0.0001" in shown.stdout
    assert trained.code == 0, trained.stderr


def test_the_example_passes_its_own_conformance_test(installed):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE / "tests")],
        capture_output=True,
        text=True,
        env=os.environ | installed.environment,
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
