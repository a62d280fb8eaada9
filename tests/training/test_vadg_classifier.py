"""A classifier that `vadg` trained, evaluated at samples of its weights: the figures are those of averages by hand."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from lmtool.config import EvaluationConfig, load_config
from lmtool.evaluation import make_evaluators
from lmtool.evaluation.classes import class_predictions, evaluate_classes
from lmtool.posterior import Samples, draw, sampled_classifier
from lmtool.signals import StopRequest
from lmtool.testing.corpus import labelled_dataset
from lmtool.training import train

LAMBDA, DELTA, SAMPLES, SEED, BINS = 300.0, 0.01, 4, 3, 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data, registry, tmp_path_factory):
    """A small CNN, trained for some epochs."""
    network = ("model.channels=4", "model.num_layers=1", "task.embedding_size=4", "task.max_length=16")
    steps = ("training.batch_size=40", "training.max_steps=20", "training.eval_every=20")
    vadg = (f"optimizer.ess={LAMBDA}", f"optimizer.weight_decay={DELTA}", "optimizer.b2=0.99")
    flags = {"model.name": "cnn", "task.name": "classify", "optimizer.name": "vadg"}
    config = load_config(None, registry, flags=flags, overrides=[f'data.path="{data.path}"', *network, *steps, *vadg])
    return train(config, data, tmp_path_factory.mktemp("runs") / "run", registry, stop=StopRequest())


def probabilities(model, split):
    """float64 [D, C], and the classes [D]."""
    pieces = [piece for piece, _ in class_predictions(model, split)]
    log_probs, targets = (np.concatenate([getattr(one, name) for one in pieces]) for name in ("log_probs", "targets"))
    return np.exp(np.asarray(log_probs, np.float64)), targets


def test_figures_of_samples_are_those_of_probabilities_averaged_by_hand(run, data, registry):
    mean, split = run.classifier(), data.split("test")
    deviations = load_file(run.path / "model/posterior.safetensors")
    config = EvaluationConfig(evaluators=["classification", "log-loss", {"name": "calibration", "bins": BINS}])
    evaluators = make_evaluators(config, registry, takes="classes")

    sampled = sampled_classifier(run, mean, Samples(SAMPLES, seed=SEED))
    found = evaluate_classes(sampled, split, evaluators).metrics

    weights = [draw(mean.params, deviations, seed=SEED, number=number) for number in range(SAMPLES)]
    every = [probabilities(mean.with_params(one), split) for one in weights]
    p, targets = np.mean([one for one, _ in every], axis=0), every[0][1]
    documents = np.arange(len(targets))
    confidence, right = p.max(axis=1), p.argmax(axis=1) == targets
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs((right - confidence)[bins == one].sum()) for one in range(BINS)]
    expected = {
        "accuracy": right.mean(),
        "log_loss": -np.log(p[documents, targets]).mean(),
        "brier": np.square(p - np.eye(p.shape[1])[targets]).sum(axis=1).mean(),
        "ece": sum(gaps) / len(targets),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-6), name
    # not what the mean's weights say, nor the mean of the samples' own figures
    at_mean = probabilities(mean, split)[0]
    own = [-np.log(one[documents, targets]).mean() for one, _ in every]
    assert abs(expected["log_loss"] + np.log(at_mean[documents, targets]).mean()) > 1e-4
    assert expected["log_loss"] < np.mean(own) - 1e-4


def test_training_has_changed_the_deviations_within_the_bound_that_the_prior_sets(run):
    """1/√(λ(h + δ)) at first, with h₀ = 0.05; where the loss is flat h goes to 0, and the deviation to 1/√(λδ)."""
    deviations = np.concatenate(
        [array.ravel() for array in load_file(run.path / "model/posterior.safetensors").values()]
    )

    assert np.ptp(deviations) > 0.01 / np.sqrt(LAMBDA * (0.05 + DELTA))
    assert np.median(deviations) < 1 / np.sqrt(LAMBDA * DELTA)
