"""What `lmtool` does when its streams are closed, full, or speak another encoding."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

LMTOOL = f"{shlex.quote(sys.executable)} -m lmtool"


def shell(command, cwd, **environment):
    """Run a command of the shell in which `lmtool` is known."""
    command = f'lmtool() {{ {LMTOOL} "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=os.environ | environment, capture_output=True, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    "command",
    ["--version", "plugins list", "config new", "info", "eval words", "eval words --json", "score words test.txt"],
)
def test_an_answer_that_has_nowhere_to_go_is_an_error(tiny, command):
    assert shell(f"lmtool {command} >&-", tiny) == (
        1,
        "",
        "error: stdout is closed: there is nowhere to write the answer to\nhint: `> /dev/null` throws it away\n",
    )


@pytest.mark.parametrize("command", ["--version", "plugins list", "plugins list --json", "config new", "-q eval words"])
def test_a_full_disk_is_an_error(tiny, command):
    code, _, stderr = shell(f"lmtool {command} >/dev/full", tiny)

    assert (code, stderr) == (
        1,
        "error: no space left on device\nhint: free some space and run the same command again\n",
    )


@pytest.mark.parametrize(
    "command", ["--version", "--help", "eval --help", "plugins list", "config schema", "-q eval words"]
)
def test_a_reader_that_has_gone_is_no_error(tiny, command):
    code, _, stderr = shell(f"set -o pipefail; {{ sleep 0.5; lmtool {command}; }} | true", tiny)

    assert (code, stderr) == (0, "")


@pytest.mark.parametrize("command", ["score words", "eval words --on -", "generate words --prompt -"])
def test_a_closed_stdin_is_an_error_where_it_is_read(tiny, command):
    code, stdout, stderr = shell(f"lmtool {command} <&-", tiny)

    (line,) = stderr.splitlines()
    assert (code, stdout) == (1, "")
    assert line.startswith("error: ")
    assert "stdin" in line
    assert "it is closed" in line


def test_a_closed_stdin_disturbs_nobody_who_does_not_read_it(tiny):
    code, stdout, _ = shell("lmtool score words test.txt <&-", tiny)

    assert code == 0
    assert len(stdout.splitlines()) == len((tiny / "test.txt").read_text().splitlines())


def test_with_stderr_closed_nothing_of_it_goes_to_stdout(tiny):
    assert shell("lmtool eval nowhere 2>&-", tiny)[:2] == (1, "")


def test_the_answer_is_utf_8_whatever_the_locale(tiny):
    code, stdout, _ = shell("lmtool eval words", tiny, PYTHONIOENCODING="ascii")

    assert code == 0
    assert "±" in stdout


def test_training_goes_on_if_nobody_reads_its_messages(lmtool, tmp_path):
    from lmtool.testing.corpus import TINY_TEXT

    (tmp_path / "train.txt").write_text(TINY_TEXT)
    reader, writer = os.pipe()
    os.close(reader)

    command = [sys.executable, "-m", "lmtool", "train", "--model", "ngram", "--data", "train.txt", "-o", "run"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)

    assert done.returncode == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "finished"
