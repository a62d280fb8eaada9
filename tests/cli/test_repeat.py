"""`lmtool repeat`: seeds, folds, going on."""

from __future__ import annotations

import json

import pytest

from lmtool.testing.corpus import TINY_TEXT

LINEAR = """
[data]
train = ["train.jsonl"]
test = ["test.jsonl"]
[task]
name = "classify"
[model]
name = "linear"
words = 1
"""


@pytest.fixture
def classes(lmtool, labelled_text):
    """A config of a small labelled text; returns how to call the command."""
    labelled_text(48, "test")
    (lmtool.cwd / "linear.toml").write_text(LINEAR)
    return lmtool


def test_folds_are_runs_of_their_own_and_the_summary_is_their_mean(classes):
    done = classes("repeat", "linear.toml", "--folds", 3, "-o", "out", "--json")

    assert done.code == 0, done.stderr
    runs = done.json["runs"]
    assert [(one["run"], one["fold"], one["seed"]) for one in runs] == [
        (f"out/fold-{k}/seed-0", k, 0) for k in range(3)
    ]
    mean = sum(one["metrics"]["log_loss"] for one in runs) / 3
    assert done.json["metrics"]["log_loss"]["mean"] == pytest.approx(mean)
    assert done.json["metrics"]["log_loss"]["n"] == 3
    one = classes("eval", "out/fold-1/seed-0", "--json").json["results"][0]
    assert one["metrics"]["log_loss"]["value"] == pytest.approx(runs[1]["metrics"]["log_loss"])
    assert json.loads((classes.cwd / "out" / "repeat.json").read_text())["results"]["metrics"] == done.json["metrics"]


def test_finished_runs_are_taken_as_they_are_and_more_seeds_add_to_them(classes):
    first = classes("repeat", "linear.toml", "--seeds", 1, "-o", "out", "--json")
    (record := classes.cwd / "out" / "seed-0" / "run.json").chmod(0o444)
    before = record.stat().st_mtime_ns
    more = classes("repeat", "linear.toml", "--seeds", 2, "-o", "out", "--json")

    assert (first.code, more.code) == (0, 0), more.stderr
    assert record.stat().st_mtime_ns == before
    assert more.json["runs"][0] == first.json["runs"][0]
    assert more.json["runs"][1]["run"] == "out/seed-1"
    assert "seed = 1\n" in (classes.cwd / "out" / "seed-1" / "config.toml").read_text().partition("[model]")[2]


def test_a_fitted_models_run_by_seed_is_the_one_that_repeat_makes(classes):
    bag = ("--set", "model={name='bag', dim=4, epochs=1, min_count=1}")
    repeated = classes("repeat", "linear.toml", "--seeds", 2, "-o", "out", *bag)

    alone = {seed: classes("train", "linear.toml", "--seed", seed, "-o", f"alone-{seed}", *bag) for seed in (0, 1)}
    there = classes("train", "linear.toml", "--seed", 1, "-o", "out/seed-1", *bag)

    assert [repeated.code, *(done.code for done in alone.values())] == [0, 0, 0], repeated.stderr
    assert there.code == 0, there.stderr
    runs = ("alone-0", "alone-1", "out/seed-0", "out/seed-1")
    weights = {run: (classes.cwd / run / "model" / "bag.npz").read_bytes() for run in runs}
    assert weights["alone-0"] == weights["out/seed-0"]
    assert weights["alone-1"] == weights["out/seed-1"]
    assert weights["alone-0"] != weights["alone-1"]


def test_other_folds_other_data_and_other_settings_are_refused(classes):
    assert classes("repeat", "linear.toml", "--folds", 2, "-o", "out").code == 0

    folds = classes("repeat", "linear.toml", "--folds", 3, "-o", "out")
    settings = classes("repeat", "linear.toml", "--folds", 2, "-o", "out", "--set", "model.C=3.0")
    (classes.cwd / "train.jsonl").write_text((classes.cwd / "test.jsonl").read_text())
    data = classes("repeat", "linear.toml", "--folds", 2, "-o", "out")

    assert (folds.code, settings.code, data.code) == (2, 2, 2)
    assert "out was begun with --folds 2, now it is 3" in folds.stderr
    assert "out/fold-0/seed-0 was begun with model.C 1.0, now it is 3.0" in settings.stderr
    assert "out was begun with other data" in data.stderr


def test_folds_of_a_dataset_hold_out_no_share_of_their_own(classes):
    share = ("--set", "data.valid_fraction=0.2")
    made = classes(
        "tokenize", "--config", "linear.toml", "--tokenizer", "word", "--label", "label", *share, "-o", "data"
    )
    assert made.code == 0
    of_data = ("--set", "data.path=data", "--set", "data.train=[]", "--set", "data.test=[]")

    refused = classes("repeat", "linear.toml", "--folds", 2, "-o", "out", *of_data, *share)

    assert refused.code == 2
    assert "whose validation text all folds have" in refused.stderr


def test_what_cannot_be_repeated_is_refused(classes):
    (classes.cwd / "other").mkdir()
    (classes.cwd / "other" / "notes.txt").write_text("mine")

    on = classes("repeat", "linear.toml", "--folds", 2, "--on", "valid", "-o", "out")
    as_text = ("--set", "task.name=lm", "--set", "model={name='ngram', order=2}")
    unlabelled = classes("repeat", "linear.toml", "--folds", 2, "-o", "out", *as_text)
    other = classes("repeat", "linear.toml", "-o", "other")

    assert (on.code, unlabelled.code, other.code) == (2, 1, 1)
    assert "--on has no use with --folds" in on.stderr
    assert "has no labels" in unlabelled.stderr
    assert "other exists and holds no repeated runs" in other.stderr


INTERRUPTED = """
import json, os, signal
from pathlib import Path
import numpy as np


@hookimpl
def lmtool_register_models():
    yield Component(name="stops", target="stops_plugin:Stops", summary="is stopped once", config=None,
                    capabilities=frozenset({"fitted", "classifier"}))


class Stops:
    def __init__(self, config):
        pass

    def fit(self, dataset, *, progress, scratch):
        with Path("fits.txt").open("a") as file:
            file.write("fit ")
        if Path("fits.txt").read_text() == "fit fit ":
            os.kill(os.getpid(), signal.SIGTERM)
        return Fitted(dataset.label_names, dataset.vocab_size)

    def load(self, folder):
        record = json.loads((folder / "stops.json").read_text())
        return Fitted(tuple(record["labels"]), record["vocab_size"])


class Fitted:
    multi_label = False

    def __init__(self, labels, vocab_size):
        self.labels, self.vocab_size = labels, vocab_size

    def log_probs(self, documents):
        return np.full((len(documents), len(self.labels)), -np.log(len(self.labels)))

    def save(self, folder):
        (folder / "stops.json").write_text(json.dumps({"labels": self.labels, "vocab_size": self.vocab_size}))
"""


def test_an_interruption_ends_with_75_and_the_same_command_goes_on(plugin_site, classes):
    plugin_site.add("stops-plugin", INTERRUPTED)
    (classes.cwd / "stops.toml").write_text(LINEAR.replace('"linear"\nwords = 1', '"stops"'))
    command = ("repeat", "stops.toml", "--folds", 3, "-o", "out", "--json")

    stopped, again = classes(*command), classes(*command)

    assert (stopped.code, stopped.stdout) == (75, "")
    assert again.code == 0, again.stderr
    # The first fold's fit, the second's that was stopped, then the second's and the third's.
    assert (classes.cwd / "fits.txt").read_text().split() == ["fit"] * 4
    assert len(again.json["runs"]) == 3


@pytest.mark.slow
def test_language_models_are_repeated_by_seeds(lmtool):
    lines = TINY_TEXT.splitlines(keepends=True)
    (lmtool.cwd / "train.txt").write_text("".join(lines[:60]))
    (lmtool.cwd / "test.txt").write_text("".join(lines[60:70]))
    (lmtool.cwd / "lm.toml").write_text(
        '[data]\ntrain = ["train.txt"]\ntest = ["test.txt"]\n[tokenizer]\nname = "char"\n'
        '[model]\nname = "lstm"\nhidden_size = 8\nnum_layers = 1\n[training]\nseed = 4\nmax_steps = 2\nbatch_size = 4\n'
    )

    done = lmtool("repeat", "lm.toml", "--seeds", 2, "-o", "out", "--json")

    assert done.code == 0, done.stderr
    assert [one["run"] for one in done.json["runs"]] == ["out/seed-4", "out/seed-5"]
    first, second = (one["metrics"]["token_perplexity"] for one in done.json["runs"])
    assert first != second


def test_a_counted_model_is_the_same_with_every_seed(classes):
    done = classes("repeat", "linear.toml", "--seeds", 2, "-o", "out", "--set", "model={name='ngram', order=1}")

    assert done.code == 0
    assert "model 'ngram' is counted: every seed gives the same" in done.stderr
    assert done.stdout.split("accuracy")[1].split()[2] == "0.0000"
