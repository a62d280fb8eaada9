"""The page on counting and scoring from Python: each of its blocks runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmtool.testing.corpus import tiny_dataset

PAGE = Path(__file__).parents[2] / "docs/how-to/use-from-python.md"
BLOCKS = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Has a run of a small English text, `runs/words`."""
    folder = tmp_path_factory.mktemp("page")
    tiny_dataset(folder, "word")
    train = ["train", "--model", "ngram", "--data", "word-dataset", "-o", "runs/words"]
    subprocess.run([sys.executable, "-m", "lmtool", "-q", *train], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_a_block_runs_and_prints(folder, title, code):
    script = folder / "block.py"
    script.write_text(code)

    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_all_blocks_are_run():
    assert len(BLOCKS) == PAGE.read_text().count("```python\n") == 5
