"""The linear model beside other classifiers in `lmtool eval`."""

from __future__ import annotations

import json
import shutil

import pytest

from lmtool.evaluation.baseline import baseline_run
from lmtool.registry import Registry
from lmtool.run import Run


def test_the_linear_model_stands_beside_others_in_the_table(lmtool, labelled):
    beside = lmtool("eval", labelled / "bayes")
    without = lmtool("eval", labelled / "bayes", "--no-baseline")
    itself = lmtool("eval", labelled / "linear", labelled / "bayes")

    assert (beside.code, without.code, itself.code) == (0, 0, 0), beside.stderr
    assert "baseline" in beside.stdout
    assert "linear" in beside.stdout
    assert "baseline" not in without.stdout
    assert "baseline" not in itself.stdout


def test_programs_get_it_if_they_ask_and_it_is_what_training_it_gives(lmtool, labelled):
    plain = lmtool("eval", labelled / "bayes", "--json").json
    asked = lmtool("eval", labelled / "bayes", "--baseline", "--json").json
    own = lmtool("train", "--task", "classify", "--model", "linear", "--data", plain["results"][0]["data"], "-o", "own")
    trained = lmtool("eval", "own", "--json").json["results"][0]

    assert own.code == 0, own.stderr
    assert len(plain["results"]) == 1
    assert [one["run"] for one in asked["results"]] == [str(labelled / "bayes"), "baseline"]
    assert asked["results"][1]["metrics"] == trained["metrics"]
    assert {one["run"] for one in asked["comparisons"]} == {"baseline"}


def test_it_is_fitted_once_and_again_if_it_is_damaged(labelled):
    run, registry = Run.open(labelled / "bayes"), Registry()
    first = baseline_run(run, registry)
    assert first is not None
    weights = first.path / "model" / "linear.safetensors"
    before = weights.stat().st_mtime_ns
    again = baseline_run(run, registry)

    assert again is not None
    assert again.path == first.path
    assert weights.stat().st_mtime_ns == before
    weights.write_bytes(weights.read_bytes()[:-1])
    mended = baseline_run(run, registry)
    assert mended is not None
    mended.verify()


def test_none_where_the_dataset_is_gone(lmtool, labelled, tmp_path):
    shutil.copytree(labelled / "bayes", tmp_path / "alone")
    record = json.loads((tmp_path / "alone" / "run.json").read_text())
    record["dataset"]["path"] = str(tmp_path / "nowhere")
    (tmp_path / "alone" / "run.json").write_text(json.dumps(record))

    assert baseline_run(Run.open(tmp_path / "alone"), Registry()) is None
    assert baseline_run(Run.open(labelled / "linear"), Registry()) is None


@pytest.mark.parametrize(("run", "code", "message"), [("linear", 1, "has no baseline: it is one")])
def test_who_insists_is_told_why_there_is_none(lmtool, labelled, run, code, message):
    done = lmtool("eval", labelled / run, "--baseline")

    assert done.code == code
    assert message in done.stderr
