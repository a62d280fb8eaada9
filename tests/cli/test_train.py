"""`lmtool train` from the outside: what it prints, where it writes, and what becomes of it when it is killed."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SETTINGS = {
    "model.hidden_size": 16,
    "training.batch_size": 4,
    "training.bptt": 16,
    "training.max_steps": 12,
    "training.eval_every": 6,
}


def options(**changes: object) -> list[str]:
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def contents(run: Path) -> tuple[bytes, list[dict]]:
    """Weights, and metrics without timing."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    weights = (run / "model" / "weights.safetensors").read_bytes()
    return weights, [{key: value for key, value in line.items() if key != "timing"} for line in lines]


def test_the_run_is_the_answer_and_stderr_has_the_rest(lmtool, tiny):
    arguments = ["train", "--model", "lstm", "--data", tiny / "char-dataset", "-o", "run", *options()]
    first = lmtool(*arguments)
    again = lmtool(*arguments)

    assert (first.code, first.stdout) == (0, "run\n")
    assert "validation perplexity" in first.stderr
    assert "warning" not in first.stderr.lower()
    assert (again.code, again.stdout) == (0, "run\n")
    assert {path.name for path in (lmtool.cwd / "run").iterdir() if not path.name.startswith(".")} == {
        "run.json", "config.toml", "tokenizer", "metrics.jsonl", "checkpoints", "model",
    }  # fmt: skip


def test_json_is_one_object(lmtool, tiny):
    done = lmtool(
        "train", "--model", "ngram", "--set", "model.order=2", "--data", tiny / "word-dataset", "-o", "r", "--json"
    )

    assert done.code == 0
    assert done.json["run"] == "r"
    assert done.json["state"] == "finished"
    assert done.json["valid_token_perplexity"] > 1


def test_quiet_says_nothing(lmtool, tiny):
    done = lmtool("train", "--model", "ngram", "--set", "model.order=2", "--data", tiny / "word-dataset", "-q")

    assert done.code == 0
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())


def test_a_counted_and_a_neural_run_look_the_same(lmtool, tiny):
    runs = [tiny / "words", tiny / "lstm"]
    for run in runs:
        assert (run / "model" / "SHA256SUMS").is_file()
        assert contents_of_record(run)["state"] == "finished"
        assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["token_perplexity"] > 1


def contents_of_record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def test_without_a_name_the_run_is_found_by_what_it_is_made_of(lmtool, tiny):
    arguments = ["train", "--model", "ngram", "--data", tiny / "word-dataset"]
    first = lmtool(*arguments, "--set", "model.order=2")
    same = lmtool(*arguments, "--set", "model.order=2")
    other = lmtool(*arguments, "--set", "model.order=3")

    assert first.stdout.startswith("runs/ngram-")
    assert same.stdout == first.stdout
    assert other.stdout != first.stdout


def test_raw_text_is_tokenized_on_the_way(lmtool, tiny):
    done = lmtool("train", "--model", "ngram", "--tokenizer", "char", "--set", "model.order=2", "-o", "run",
                  "--data", tiny / "train.txt", "--valid", tiny / "valid.txt")  # fmt: skip

    assert done.code == 0
    assert contents_of_record(lmtool.cwd / "run")["components"][0]["name"] == "char"


def test_a_config_says_the_same_as_options(lmtool, tiny):
    dataset = tiny / "char-dataset"
    sections = {}
    for name, value in SETTINGS.items():
        section, key = name.split(".")
        sections.setdefault(section, []).append(f"{key} = {value}")
    sections["model"].append('name = "lstm"')
    sections["data"] = [f'path = "{dataset}"']
    text = "\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in sections.items())
    (lmtool.cwd / "lstm.toml").write_text(text)

    from_file = lmtool("train", "lstm.toml", "-o", "from-file")
    from_options = lmtool("train", "--model", "lstm", "--data", dataset, "-o", "from-options", *options())

    assert from_file.code == from_options.code == 0
    configs = [(lmtool.cwd / name / "config.toml").read_text() for name in ("from-file", "from-options")]
    assert configs[0] == configs[1]
    assert contents(lmtool.cwd / "from-file") == contents(lmtool.cwd / "from-options")


def test_another_config_for_the_same_run_is_a_usage_error(lmtool, tiny):
    arguments = ["train", "--model", "lstm", "--data", tiny / "char-dataset", "-o", "run"]
    assert lmtool(*arguments, *options()).code == 0

    done = lmtool(*arguments, *options(training__seed=7))

    assert done.code == 2
    assert "error: run was begun with training.seed 0, now it is 7" in done.stderr
    assert "hint: `--force` starts over" in done.stderr


@pytest.mark.parametrize(("task", "lacks"), [("classify", "labels"), ("seq2seq", "targets")])
def test_text_without_what_the_task_learns_leaves_no_run_behind(lmtool, tiny, task, lacks):
    dataset = tiny / "word-dataset"

    result = lmtool("train", "--task", task, "--model", "lstm", "--data", dataset, "-o", "run", *options())

    assert result.code == 1
    assert f"error: {dataset} has no {lacks}" in result.stderr
    assert not (lmtool.cwd / "run").exists()


def test_divergence_has_its_own_exit_code(lmtool, tiny):
    done = lmtool("train", "--model", "lstm", "--optimizer", "sgd", "--data", tiny / "char-dataset", "-o", "run",
                  *options(optimizer__learning_rate=1e30))  # fmt: skip

    assert done.code == 4
    assert "loss is" in done.stderr
    assert "Traceback" not in done.stderr


# Killed and asked to stop ---------------------------------------------------------------------------------------------

LONG = options(training__max_steps=150, training__eval_every=40, training__checkpoint_every=7, training__log_every=10)


class Training:
    """A training process of the long run; `--set` and all else is the same each time."""

    def __init__(self, tiny: Path, run: Path) -> None:
        self.run = run
        self.command = [sys.executable, "-m", "lmtool", "train", "--model", "lstm", "--data",
                        str(tiny / "char-dataset"), "-o", str(run), *LONG]  # fmt: skip

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)

    def checkpoints(self) -> int:
        return len(list(self.run.glob("checkpoints/step-*")))

    def newest(self) -> str:
        return max((path.name for path in self.run.glob("checkpoints/step-*")), default="")

    def finish(self) -> None:
        process = self.start()
        assert process.wait(300) == 0, process.communicate()[1]
        process.communicate()


def wait_until(condition, process: subprocess.Popen) -> None:
    """Wait until a condition holds or the process has ended by itself."""
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    training = Training(tiny, tmp_path_factory.mktemp("undisturbed") / "run")
    training.finish()
    return contents(training.run)


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tiny, tmp_path, undisturbed):
    training = Training(tiny, tmp_path / "run")
    moments = random.Random(0)
    for _ in range(2):
        before = training.newest()
        process = training.start()
        wait_until(lambda before=before: training.newest() > before, process)
        time.sleep(moments.random() * 0.1)
        process.kill()
        process.communicate()
    training.finish()

    assert contents(training.run) == undisturbed
    assert not list(training.run.glob("**/.*.tmp")), "something half-written was left behind"


@pytest.mark.parametrize(("number", "moment"), [
    (signal.SIGTERM, "training"), (signal.SIGUSR1, "compiling"),
])  # fmt: skip
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later(tiny, tmp_path, undisturbed, number, moment):
    training = Training(tiny, tmp_path / "run")
    process = training.start()
    begun = (lambda: (training.run / ".lock").exists()) if moment == "compiling" else training.checkpoints
    wait_until(begun, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=300)

    assert process.returncode == 75, stderr
    assert stdout == ""
    assert f"error: stopped by {number.name}" in stderr
    assert "hint: run the same command to go on" in stderr
    training.finish()
    assert contents(training.run) == undisturbed


def test_the_last_line_says_what_the_best_model_was_picked_by(lmtool):
    rows = [{"text": word, "target": word} for word in ("ant", "bee", "cat")]
    (lmtool.cwd / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["--data", "echo.jsonl", "--valid", "echo.jsonl", "--tokenizer", "word"]
    small = ["model.hidden_size=4", "task.embedding_size=4", "training.max_steps=1"]
    picked = ['training.evaluators=["chrf"]', "training.monitor=chrf"]
    settings = [word for setting in (*small, *picked) for word in ("--set", setting)]

    done = lmtool("train", "--task", "seq2seq", "--model", "lstm", *data, "-o", "run", *settings)

    assert done.code == 0, done.stderr
    assert re.search(r"done: validation chrf [0-9.]+ at step 1;", done.stderr)
