"""Searches whose trainings are those of `fake_training.py`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tomli_w

from lmtool.errors import ConfigError, DataError, ExitCode, Interrupted, LmtoolError
from lmtool.registry import Registry
from lmtool.signals import StopRequest
from lmtool.tuning.record import Record, Trial
from lmtool.tuning.report import best_config, draw, short_names, table, to_json
from lmtool.tuning.search import Limits, Search, Setup, points_of, share_of_cores
from lmtool.tuning.space import parse_space
from lmtool.tuning.suggest import SURE

FAKE = (sys.executable, "-S", str(Path(__file__).parent / "fake_training.py"))


class Tuner:
    """Searches in one folder; a later call goes on."""

    def __init__(self, folder):
        self.folder = folder / "out"
        self.said = []
        self.stop = StopRequest()

    def __call__(self, *searches, trials=None, seconds=None, jobs=1, epochs=1, pace=0.0, full=False, report=None):
        space = parse_space(searches or ["optimizer.rate=1e-4..1:log"])
        base = {"optimizer": {"rate": 0.5}, "training": {"epochs": epochs}, "model": {"seconds": pace}}

        def config_of(settings):
            tables = {name: dict(values) for name, values in base.items()}
            for key, value in settings.items():
                section, _, name = key.partition(".")
                tables[section][name] = value
            if tables["model"].get("odd") and tables["training"]["epochs"] == 2:
                raise ConfigError("model.odd does not go with training.epochs = 2")
            return SimpleNamespace(to_toml=lambda: tomli_w.dumps(tables))

        setup = Setup(
            config_of=config_of,
            first={"optimizer.rate": 0.5},
            space=space,
            seed=0,
            monitor="loss",
            registry=Registry(third_party=False),
            program=FAKE,
        )
        self.stop = StopRequest()
        self.record = Record.begin(self.folder, {"search": {key: one.to_json() for key, one in space.items()}})
        if full:
            (self.folder / "trials" / "full").touch()
        search = Search(
            self.record,
            setup,
            Limits(seconds, trials, jobs),
            stop=self.stop,
            report=report or (lambda phase, fraction, **fields: None),
            say=self.said.append,
        )
        search.run()
        return self.record

    def events(self):
        """(event, trial, cores, time, process) of trainings."""
        rows = [line.split(" ") for line in (self.folder / "trials" / "events").read_text().splitlines()]
        return [(event, int(number), cores, float(time), int(pid)) for event, number, cores, time, pid in rows]

    def count(self, event, number):
        return sum(one[:2] == (event, number) for one in self.events())


@pytest.fixture
def tuner(tmp_path):
    return Tuner(tmp_path)


def outcome(trial):
    return trial.settings, trial.state, trial.points, trial.reason


def test_trials_are_runs_and_the_best_comes_first(tuner):
    record = tuner(trials=6)

    assert record.trials[0].settings == {"optimizer.rate": 0.5}
    values = [one.best.value for one in record.ranked()]
    assert values == sorted(values)
    for trial in record.trials:
        run = json.loads((record.run(trial) / "run.json").read_text())
        assert run["state"] == "finished"
        points, last_step = points_of(record.run(trial) / "metrics.jsonl", "loss")
        assert (tuple(points), last_step) == (trial.points, 10)


def test_the_same_search_is_the_same_and_more_trials_add_to_it(tuner, tmp_path):
    few = [outcome(one) for one in tuner(trials=3).trials]
    more = [outcome(one) for one in tuner(trials=6).trials]
    (tmp_path / "again").mkdir()
    whole = [outcome(one) for one in Tuner(tmp_path / "again")(trials=6).trials]

    assert more[:3] == few
    assert more == whole
    assert all(tuner.count("begin", number) == 1 for number in range(6))


def test_what_falls_behind_is_stopped_early_and_decided_by_its_validations_alone(tuner, tmp_path):
    record = tuner(trials=12, epochs=3)
    (tmp_path / "again").mkdir()
    slower = Tuner(tmp_path / "again")(trials=12, epochs=3, pace=0.15)

    pruned = [one for one in record.trials if one.state == "pruned"]
    assert pruned
    for trial in pruned:
        # However far the process had come meanwhile: nothing after the validation that decided.
        assert len(trial.points) in (1, 2)
        assert sum(one.state == "finished" for one in record.trials[: trial.number]) >= SURE
    assert record.ranked()[0].state == "finished"
    assert [outcome(one) for one in slower.trials] == [outcome(one) for one in record.trials]


def test_what_was_trained_to_its_end_is_finished_however_bad(tuner):
    record = tuner(trials=8, epochs=1)

    assert [one.state for one in record.trials] == ["finished"] * 8


def test_divergence_is_a_result(tuner):
    record = tuner("optimizer.rate=2,0.1,0.01", trials=3)

    states = {one.settings["optimizer.rate"]: one.state for one in record.trials}
    assert states == {2: "diverged", 0.1: "finished", 0.01: "finished"}
    assert record.ranked()[-1].reason == "the loss is nan"
    assert record.ranked()[-1].best is None


def test_a_search_of_choices_ends_when_all_are_tried(tuner):
    record = tuner("optimizer.rate=0.1,0.01", seconds=60)

    assert len(record.trials) == 2
    assert "all combinations have been tried: 2" in tuner.said


def test_several_run_at_a_time_each_on_cores_of_its_own(tuner):
    tuner(trials=4, jobs=2, pace=0.3)

    begins = {number: time for event, number, _, time, _ in tuner.events() if event == "begin"}
    ends = {number: time for event, number, _, time, _ in tuner.events() if event == "end"}
    assert begins[1] < ends[0]
    cores = {number: cores for _, number, cores, _, _ in tuner.events()}
    if len(os.sched_getaffinity(0)) > 1:
        assert not set(cores[0].split(",")) & set(cores[1].split(","))


@pytest.mark.parametrize("jobs", [1, 2, 3, 5])
def test_cores_are_shared_out(jobs):
    shares = [share_of_cores(slot, jobs).split(",") for slot in range(jobs)]

    cores = {str(core) for core in os.sched_getaffinity(0)}
    if jobs == 1:
        assert shares == [[""]]
    else:
        assert {core for share in shares for core in share} == cores
        assert sum(map(len, shares)) == max(jobs, len(cores))


def stopping(tuner, event, number):
    """A `report` that acts as a signal would once a trial has come to something."""

    def report(phase, fraction, **fields):
        if (tuner.folder / "trials" / "events").exists() and tuner.count(event, number):
            tuner.stop.signal_name = "SIGTERM"

    return report


def test_a_signal_saves_trials_and_the_same_command_goes_on_with_them(tuner, tmp_path):
    with pytest.raises(Interrupted) as caught:
        tuner(trials=3, epochs=4, pace=0.3, report=stopping(tuner, "begin", 1))
    states = [one["state"] for one in json.loads((tuner.folder / "tune.json").read_text())["trials"]]
    record = tuner(trials=3, epochs=4)

    assert caught.value.exit_code == ExitCode.SAVED
    assert states == ["finished", "started"]
    assert [one.state for one in record.trials] == ["finished"] * 3
    assert (tuner.count("begin", 0), tuner.count("begin", 1)) == (1, 2)
    assert tuner.count("saved", 1) == 1
    (tmp_path / "again").mkdir()
    whole = Tuner(tmp_path / "again")(trials=3, epochs=4)
    assert [outcome(one) for one in record.trials] == [outcome(one) for one in whole.trials]


def test_the_budget_counts_over_restarts_and_unfinished_trials_have_what_they_reached(tuner):
    record = tuner(seconds=1.5, epochs=100, pace=0.2)
    again = tuner(seconds=1.5, epochs=100, pace=0.2)

    [trial] = record.trials
    assert trial.state == "started"
    assert 0 < len(trial.points) < 100
    assert record.elapsed >= 1.5
    assert tuner.count("begin", 0) == 1  # nothing was left of it
    assert again.ranked()[0].best == trial.best


def test_failures_one_after_the_other_end_the_search_and_are_tried_again(tuner):
    with pytest.raises(LmtoolError, match="3 trials failed one after the other, the last one: the disk is full"):
        tuner(trials=4, full=True)
    states = [one["state"] for one in json.loads((tuner.folder / "tune.json").read_text())["trials"]]
    (tuner.folder / "trials" / "full").unlink()
    record = tuner(trials=4)

    assert states == ["failed"] * 3
    assert [one.state for one in record.trials] == ["finished"] * 4


def test_settings_that_do_not_go_together_are_refused_and_never_tried_again(tuner):
    searched = ("model.odd=true,false", "training.epochs=1,2")
    tuner(*searched, trials=4)
    record = tuner(*searched, trials=4)

    refused = [one for one in record.trials if one.state == "refused"]
    assert [one.settings for one in refused] == [{"model.odd": True, "training.epochs": 2}]
    assert refused[0].reason == "model.odd does not go with training.epochs = 2"
    assert refused[0].best is None
    assert sum("does not go with" in line for line in tuner.said) == 1


def test_a_search_whose_settings_never_go_together_ends(tuner):
    with pytest.raises(ConfigError, match=r"20 trials one after the other do not go together: model\.odd does not go"):
        tuner("model.odd=1..90:int", trials=30, epochs=2)  # odd ones and two epochs never do

    assert [one.state for one in tuner.record.trials] == ["refused"] * 20


def test_nobody_is_left_behind_when_the_search_breaks(tuner):
    def report(phase, fraction, **fields):
        if tuner.folder.joinpath("trials", "events").exists():
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        tuner(trials=2, jobs=2, epochs=100, pace=0.2, report=report)

    for pid in {one[4] for one in tuner.events()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# The folder -----------------------------------------------------------------------------------------------------------


def test_what_another_process_did_meanwhile_is_known(tmp_path):
    here, there = (Record.begin(tmp_path / "out", {"dataset": "text"}) for _ in range(2))
    there.elapsed = 5.0
    there.put(Trial(0, {"optimizer.rate": 0.5}, "finished"))

    here.reload()

    assert (here.trials, here.elapsed) == (there.trials, 5.0)


def test_another_search_in_the_folder_is_refused(tuner):
    tuner(trials=1)

    with pytest.raises(ConfigError, match=r"was begun with search optimizer\.rate \"0\.0001\.\.1\.0:log\", now it is"):
        tuner("optimizer.rate=1e-3..1:log", trials=1)


def test_another_folder_is_left_alone(tuner):
    tuner.folder.mkdir()
    (tuner.folder / "notes.txt").write_text("mine")

    with pytest.raises(DataError, match="exists and holds no search"):
        tuner(trials=1)


@pytest.mark.parametrize("damage", ["{", '{"format": "lmtool-tune", "version": 1}', '{"format": "lmtool-run"}'])
def test_a_damaged_record_is_said(tuner, damage):
    tuner.folder.mkdir()
    (tuner.folder / "tune.json").write_text(damage)

    with pytest.raises(DataError, match=r"tune\.json is damaged"):
        tuner(trials=1)


# What comes of it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def searched(tuner):
    return tuner("optimizer.rate=2,0.1,0.01", trials=3)


def test_the_best_config_says_what_it_reached_and_is_the_trials(searched):
    best = searched.ranked()[0]

    text = best_config(best, searched, "loss")

    assert text.startswith(f"# Trial {best.number}, the best of 3 by `lmtool tune`: validation loss 0 at step 10.\n")
    assert text.endswith(searched.config(best).read_text())
    assert best.settings == {"optimizer.rate": 0.01}


def test_the_table_and_the_object_say_the_same(searched):
    from rich.console import Console

    space = parse_space(["optimizer.rate=2,0.1,0.01"])
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(table(searched, space, "loss"))
    console.file.close()
    rows = [line.split() for line in console.export_text().splitlines()]
    known = json.loads(json.dumps(to_json(searched, "loss")))

    assert rows[0][:4] == ["trial", "rate", "loss", "step"]
    assert [row[1:3] for row in rows[2:]] == [
        [str(one["trial"]), str(one["settings"]["optimizer.rate"])] for one in known["trials"]
    ]
    assert [one["value"] for one in known["trials"]] == [0.0, 1.0, None]
    assert known["best"] == known["trials"][0]
    assert known["trials"][2]["state"] == rows[4][-1] == "diverged"


def test_an_accuracy_is_shown_as_one(searched):
    trial = searched.trials[0]
    negated = tuple(replace(one, value=-0.75) for one in searched.trials[1].points)
    searched.trials = [Trial(0, trial.settings, "finished", negated)]

    assert to_json(searched, "accuracy")["best"]["value"] == 0.75


def test_columns_are_short_where_they_can_be():
    assert short_names(["model.size", "task.size", "optimizer.rate"]) == {
        "model.size": "model.size",
        "task.size": "task.size",
        "optimizer.rate": "rate",
    }


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_drawn_whatever_trials_came_to(searched, tmp_path, suffix):
    space = parse_space(["optimizer.rate=2,0.1,0.01"])
    draw(tmp_path / f"some{suffix}", searched, space, "loss")
    draw(tmp_path / f"same{suffix}", searched, space, "loss")
    searched.trials = searched.trials[:1]
    draw(tmp_path / f"one{suffix}", searched, space, "loss")

    assert (tmp_path / f"some{suffix}").stat().st_size > 5000
    if suffix == ".png":
        assert (tmp_path / "some.png").read_bytes() == (tmp_path / "same.png").read_bytes()
