"""Ensembles: the mean of what their members would say alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmtool.config import resolve
from lmtool.data.dataset import Dataset
from lmtool.errors import ConfigError, DataError, Interrupted, LmtoolError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.repeat import with_seed
from lmtool.run import Run
from lmtool.signals import StopRequest
from lmtool.testing import conformance
from lmtool.testing.corpus import labelled_dataset
from lmtool.training import train
from lmtool_ensemble.config import EnsembleConfig
from lmtool_ensemble.model import Ensemble

LINEAR = {"model": {"name": "linear", "words": 1, "min_count": 1}}
BAG = {"model": {"name": "bag", "dim": 8, "min_count": 1, "word_ngrams": 1}}
NETWORK = {
    "model": {"name": "lstm", "hidden_size": 4},
    "task": {"embedding_size": 4},
    "optimizer": {"name": "adamw", "learning_rate": 0.02},
    "training": {"epochs": 1, "batch_size": 16},
}


@conformance("model", "ensemble", config={"members": [LINEAR, {**BAG, "seeds": 2}]})
def test_ensemble(check):
    check()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("labelled") / "data")


def config_of(dataset: Dataset, **sections):
    sections = {"task": {"name": "classify"}, "data": {"path": str(dataset.path)}, **sections}
    return resolve(Raw(sections), Registry())


def trained(dataset: Dataset, path, **sections) -> Run:
    return train(config_of(dataset, **sections), dataset, path, Registry(), stop=StopRequest())


def ensemble_of(*members, **settings):
    return {"model": {"name": "ensemble", "members": list(members), **settings}}


def probabilities(run: Run, dataset: Dataset) -> np.ndarray:
    return np.exp(run.classifier().log_probs(list(dataset.split("test").documents())))


def test_its_probabilities_are_the_mean_of_those_of_its_members_trained_alone(dataset, tmp_path):
    whole = trained(dataset, tmp_path / "whole", **ensemble_of(LINEAR, {**NETWORK, "seeds": 2}))
    seeds = [{**NETWORK, "training": {**NETWORK["training"], "seed": seed}} for seed in (0, 1)]
    for one in seeds:
        one["task"] = {"name": "classify", **one["task"]}
    alone = [trained(dataset, tmp_path / f"alone-{n}", **one) for n, one in enumerate([LINEAR, *seeds])]

    expected = np.mean([probabilities(run, dataset) for run in alone], axis=0)

    np.testing.assert_allclose(probabilities(whole, dataset), expected, rtol=1e-9)
    np.testing.assert_array_equal(probabilities(Run.open(whole.path), dataset), probabilities(whole, dataset))


def test_repeats_of_an_ensemble_have_no_member_in_common(dataset, tmp_path):
    config = config_of(dataset, **ensemble_of(LINEAR, {**BAG, "seeds": 2}))

    seeds = []
    for number in range(3):
        path = tmp_path / f"seed-{number}"
        train(with_seed(config, number), dataset, path, Registry(), stop=StopRequest())
        members = [Run.open(path / "model" / f"member-{n}") for n in range(3)]
        seeds.append([member.config["model"]["seed"] for member in members])

    # The linear model is there once, the bag twice.
    assert seeds == [[0, 0, 1], [1, 2, 3], [2, 4, 5]]


TWO_EPOCHS = {**NETWORK, "training": {**NETWORK["training"], "epochs": 2, "checkpoint_every": 1}}
MIXED = ensemble_of(LINEAR, {**TWO_EPOCHS, "seeds": 2}, combine="tuned")


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A linear model and two networks, trained without an interruption."""
    return trained(dataset, tmp_path_factory.mktemp("whole") / "run", **MIXED)


def begun(dataset: Dataset, path, at, **sections):
    """An ensemble that is killed in a phase of a member."""

    def killed(phase, fraction, **fields):
        if phase == at:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(config_of(dataset, **sections), dataset, path, Registry(), stop=StopRequest(), report=killed)


@pytest.mark.parametrize("at", ["member 2 of 3, compiling", "member 2 of 3, training", "member 3 of 3, validating"])
def test_a_killed_ensemble_goes_on_with_the_member_it_was_at_to_the_same_bits(dataset, whole, tmp_path, at):
    begun(dataset, tmp_path / "run", at, **MIXED)

    phases = []
    run = train(
        config_of(dataset, **MIXED), dataset, tmp_path / "run", Registry(),
        stop=StopRequest(), report=lambda phase, fraction, **fields: phases.append(phase),
    )  # fmt: skip

    of_members = [int(phase.split()[1]) for phase in phases if phase.startswith("member")]
    assert min(of_members) == int(at.split()[1]), "members before it are as they were"
    np.testing.assert_array_equal(probabilities(run, dataset), probabilities(whole, dataset))
    assert run.result == whole.result
    assert not (run.path / ".scratch").exists()


def test_a_signal_saves_the_member_that_is_trained(dataset, whole, tmp_path):
    stop, config = StopRequest(), config_of(dataset, **MIXED)

    def report(phase, fraction, **fields):
        if phase == "member 2 of 3, training":
            stop.signal_name = "SIGTERM"

    with pytest.raises(Interrupted, match=r"stopped by SIGTERM at step \d+ of \d+; everything is saved"):
        train(config, dataset, tmp_path / "run", Registry(), stop=stop, report=report)
    member = tmp_path / "run" / ".scratch" / "member-1"
    assert list((member / "checkpoints").glob("step-*"))
    assert not Run.open(member).is_finished

    np.testing.assert_array_equal(
        probabilities(trained(dataset, tmp_path / "run", **MIXED), dataset), probabilities(whole, dataset)
    )


def test_a_signal_that_comes_when_a_member_is_done_is_heard_before_the_next(dataset, tmp_path, monkeypatch):
    stop, done = StopRequest(), []

    def last(config, dataset, path, *args, **kwargs):
        done.append(path.name)
        stop.signal_name = "SIGTERM"
        return train(config, dataset, path, *args, **kwargs)

    monkeypatch.setattr("lmtool_ensemble.model.train", last)
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        train(config_of(dataset, **ensemble_of(LINEAR, BAG)), dataset, tmp_path / "run", Registry(), stop=stop)

    assert done == ["member-0"]


def test_members_of_another_config_are_not_gone_on_with(dataset, tmp_path):
    begun(dataset, tmp_path / "run", "member 2 of 2, validating", **ensemble_of(LINEAR, BAG))
    other = ensemble_of({"model": {**LINEAR["model"], "C": 0.5}}, BAG)

    with pytest.raises(ConfigError, match=r"was begun with model\.members"):
        trained(dataset, tmp_path / "run", **other)
    over = train(
        config_of(dataset, **other), dataset, tmp_path / "run", Registry(), stop=StopRequest(), force=True
    )  # fmt: skip

    alone = trained(dataset, tmp_path / "alone", **other)
    np.testing.assert_array_equal(probabilities(over, dataset), probabilities(alone, dataset))


def test_members_of_another_version_of_a_component_are_not_gone_on_with(dataset, tmp_path):
    begun(dataset, tmp_path / "run", "member 2 of 2, validating", **ensemble_of(LINEAR, BAG))
    file = tmp_path / "run" / ".scratch" / "member-0" / "run.json"
    record = json.loads(file.read_text())
    next(one for one in record["components"] if one["kind"] == "model")["version"] = 0
    file.write_text(json.dumps(record))

    with pytest.raises(ConfigError, match="member-0 was begun with version 0 of model 'linear', now it is 1"):
        trained(dataset, tmp_path / "run", **ensemble_of(LINEAR, BAG))


def test_tuned_weights_give_the_validation_documents_no_less_than_the_mean_does(dataset, tmp_path):
    weak = {"model": {"name": "linear", "words": 1, "min_count": 1, "C": 1e-3}}
    tuned, mean = (
        trained(dataset, tmp_path / combine, **ensemble_of(weak, LINEAR, combine=combine))
        for combine in ("tuned", "mean")
    )

    assert sum(tuned.result["weights"]) == pytest.approx(1, abs=1e-3)
    assert tuned.result["valid_loss"] < mean.result["valid_loss"]


def test_several_labels_a_document(tmp_path):
    several = labelled_dataset(tmp_path / "data", multi=True)
    run = trained(several, tmp_path / "run", **ensemble_of(LINEAR, BAG, combine="tuned"))
    alone = [trained(several, tmp_path / f"alone-{n}", **one) for n, one in enumerate([LINEAR, BAG])]

    weights = run.classifier().weights
    expected = sum(weight * probabilities(one, several) for weight, one in zip(weights, alone, strict=True))

    np.testing.assert_allclose(probabilities(run, several), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([LINEAR, {"model": {"name": "linaer"}}], "linaer"),
        ([LINEAR, {"model": {"name": "linear", "wrods": 1}}], "number 2: unknown key model.wrods"),
        ([{**LINEAR, "optimizer": {"name": "adamw"}}], "has no use"),
        ([{**LINEAR, "task": {"name": "lm"}}], "number 1: task 'lm' gives no classes"),
    ],
)
def test_wrong_settings_of_a_member_are_said_before_anything_is_trained(
    dataset, tmp_path, monkeypatch, members, message
):
    monkeypatch.setattr("lmtool_ensemble.model.train", lambda *_, **__: pytest.fail("a member was trained"))

    with pytest.raises(LmtoolError, match=message):
        trained(dataset, tmp_path / "run", **ensemble_of(*members))


def test_an_ensemble_of_ensembles_is_refused(dataset):
    with pytest.raises(ConfigError, match="cannot be an ensemble itself"):
        config_of(dataset, **ensemble_of({"model": {"name": "ensemble", "members": [LINEAR]}}))


@pytest.mark.parametrize("content", ["", "{}", '{"format": 1, "weights": []}', '{"format": 1, "weights": [0.5, 0.4]}'])
def test_a_damaged_record_is_said(tmp_path, content):
    (tmp_path / "ensemble.json").write_text(content)

    with pytest.raises(DataError, match=r"ensemble\.json is damaged"):
        Ensemble(EnsembleConfig(members=[LINEAR])).load(tmp_path)


def test_a_record_of_a_later_format_is_said(tmp_path):
    (tmp_path / "ensemble.json").write_text('{"format": 2}')

    with pytest.raises(DataError, match="format 2 is not known"):
        Ensemble(EnsembleConfig(members=[LINEAR])).load(tmp_path)
