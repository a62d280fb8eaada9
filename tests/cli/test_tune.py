"""`lmtool tune`: the command itself; see `tests/tuning` for searches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lmtool.cli.main import run
from lmtool.cli.tune import _nothing, seconds_of
from lmtool.errors import DivergedError, UsageError
from lmtool.tuning.record import Record, Trial

LINEAR = """
[data]
train = ["train.jsonl"]
valid = ["valid.jsonl"]
[task]
name = "classify"
[training]
monitor = "loss"
[model]
name = "linear"
words = 1
"""


@pytest.fixture
def classes(lmtool, labelled_text):
    """A config of a small labelled text; returns how to call the command."""
    labelled_text(40, "valid")
    (lmtool.cwd / "linear.toml").write_text(LINEAR)
    return lmtool


def test_a_search_ends_with_a_config_that_trains_to_the_same(classes):
    command = ("tune", "linear.toml", "-o", "out", "--search", "model.C=0.1..10:log")
    done = classes(*command, "--trials", 2, "--jobs", 2, "--json")
    table = classes(*command, "--trials", 1)
    best = classes("train", "out/best.toml", "-o", "best", "--json")

    assert done.code == 0, done.stderr
    known = done.json
    assert known["trials"][0] == known["best"]
    assert {one["trial"]: one["state"] for one in known["trials"]} == {0: "finished", 1: "finished"}
    assert next(one for one in known["trials"] if one["trial"] == 0)["settings"] == {"model.C": 1.0}
    assert best.json["valid_loss"] == known["best"]["value"]
    assert (classes.cwd / "out" / "tune.png").read_bytes().startswith(b"\x89PNG")
    assert "trial 0: loss" in done.stderr
    # Fewer trials than are there: nothing is trained, all are shown.
    assert table.stdout.splitlines()[0].split() == ["trial", "C", "loss", "step", "s"]
    assert len(table.stdout.splitlines()) == 4
    assert "trial 0: loss" not in table.stderr


SEARCH = ("tune", "linear.toml", "-o", "out", "--trials", "1", "--search", "model.C=0.1..10:log")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tune", "linear.toml", "-o", "out"), 2, "say when the search is over"),
        ((*SEARCH, "--budget", "soon"), 2, "--budget must be a time such as 90s, 30m or 1h30m, got 'soon'"),
        ((*SEARCH[:6],), 2, "model 'linear' has no learning rate"),
        ((*SEARCH, "--search", "model.c=1..2"), 2, "unknown key model.c"),
        ((*SEARCH, "--search", "model.C=-1..2"), 2, "--search: model.C must be"),
        ((*SEARCH, "--search", "model.words=1..3"), 2, "hint: `:int` behind the range"),
        ((*SEARCH, "--search", "training.seed=1,2"), 2, "the luckiest seed is no setting"),
        ((*SEARCH, "--set", "data.valid=[]"), 1, "there is no validation text"),
        ((*SEARCH, "--set", "training.monitor=f1"), 2, "training.monitor must be one of loss, accuracy"),
        ((*SEARCH, "--space", "none.toml"), 2, "no config file none.toml"),
    ],
)
def test_what_cannot_be_searched_is_said_and_nothing_is_begun(classes, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(classes.cwd)
    with pytest.raises(SystemExit) as end:
        run(arguments)

    assert end.value.code == code
    assert said in capsys.readouterr().err
    assert not (classes.cwd / "out").exists()


def test_a_search_that_came_to_nothing_says_why(tmp_path):
    trials = [Trial(0, {}, "diverged", reason="the loss is nan"), Trial(1, {}, "failed", reason="the disk is full")]

    ended = _nothing(Record(tmp_path, {}, trials))
    running = _nothing(Record(tmp_path, {}, [*trials, Trial(2, {})]))

    assert str(ended) == "no trial has come to its first validation; trial 1: the disk is full"
    assert str(running) == "no trial has come to its first validation"
    assert isinstance(_nothing(Record(tmp_path, {}, trials[:1])), DivergedError)


def test_without_optuna_the_command_says_how_to_install_it(classes):
    (classes.cwd / "site").mkdir()
    (classes.cwd / "site" / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'optuna' else find(name, *rest)\n"
    )
    classes.environment["PYTHONPATH"] = str(classes.cwd / "site")

    done = classes(*SEARCH)

    assert done.code == 3
    assert "hint: `pip install 'lmtool[tune]'`" in done.stderr


def test_another_space_in_the_same_folder_is_refused(classes):
    (classes.cwd / "out" / "trials").mkdir(parents=True)
    facts = {"dataset": "another"}
    record = {"format": "lmtool-tune", "version": 1, "facts": facts, "elapsed": 0.0, "trials": []}
    (classes.cwd / "out" / "tune.json").write_text(json.dumps(record))

    done = classes(*SEARCH)

    assert done.code == 2
    assert "out was begun with another dataset" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), (" 1m5s", 65)]
)
def test_a_time_has_units(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-1m", "1m1h", "0s", "1 h", "1d"])
def test_a_time_without_them_is_refused(text):
    with pytest.raises(UsageError, match="--budget must be a time"):
        seconds_of(text)


SLEEPS = """
import json, os, time
from pathlib import Path
import numpy as np
from lmtool.config import Config


@hookimpl
def lmtool_register_models():
    yield Component(name="sleeps", target="sleeps_plugin:Sleeps", summary="waits", config="sleeps_plugin:SleepsConfig",
                    capabilities=frozenset({"fitted", "classifier"}))


class SleepsConfig(Config):
    size: int = 1


class Sleeps:
    def __init__(self, config):
        pass

    def fit(self, dataset, *, progress, scratch):
        with Path("fits.txt").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        while not Path("go").exists():
            time.sleep(0.05)
        return Fitted(dataset.label_names, dataset.vocab_size)


class Fitted:
    multi_label = False

    def __init__(self, labels, vocab_size):
        self.labels, self.vocab_size = labels, vocab_size

    def log_probs(self, documents):
        return np.full((len(documents), len(self.labels)), -np.log(len(self.labels)))

    def save(self, folder):
        (folder / "sleeps.json").write_text(json.dumps({"labels": self.labels, "vocab_size": self.vocab_size}))
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a training outlives a search that is killed")
def test_a_stopped_search_takes_its_trainings_with_it_and_goes_on(plugin_site, classes, number, code):
    plugin_site.add("sleeps-plugin", SLEEPS)
    (classes.cwd / "sleeps.toml").write_text(LINEAR.replace('"linear"\nwords = 1', '"sleeps"'))
    command = ("tune", "sleeps.toml", "-o", "out", "--trials", "1", "--search", "model.size=1..4:int", "--json")
    fits = classes.cwd / "fits.txt"
    with subprocess.Popen(
        [sys.executable, "-m", "lmtool", *command],
        cwd=classes.cwd,
        env=os.environ | classes.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_for(lambda: fits.exists() and fits.read_text().endswith("\n"))
        child = int(fits.read_text())
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=300)
    wait_for(lambda: not is_alive(child))
    (classes.cwd / "go").touch()
    again = classes(*command)

    assert process.returncode == code, stderr
    assert stdout == b""
    assert again.code == 0, again.stderr
    assert [one["state"] for one in again.json["trials"]] == ["finished"]
    assert len(fits.read_text().split()) == 2
