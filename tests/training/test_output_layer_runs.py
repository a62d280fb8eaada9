"""Runs with an adaptive or a sampled softmax: trained, resumed, stored and read like any other."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lmtool.config import TrainingConfig
from lmtool.errors import DataError, Interrupted
from lmtool.run import Run
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

SETTINGS = {
    "adaptive": ("task.softmax=adaptive", "task.cutoffs=[7, 19]", "task.embedding_size=10"),
    "sampled": ("task.softmax=sampled", "task.num_samples=9"),
}


@pytest.fixture(scope="module", params=SETTINGS)
def run(request, trainer_in, tmp_path_factory):
    trainer = trainer_in(tmp_path_factory.mktemp(request.param))
    return trainer("run", *SETTINGS[request.param])


def losses(run, kind):
    lines = map(json.loads, (run.path / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == kind]


def test_the_model_learns(run):
    validation = losses(run, "valid")

    assert validation[-1] < validation[0]


def test_the_stored_model_is_a_distribution_that_agrees_with_its_scores(run, registry):
    model = Run.open(run.path, registry).language_model()
    ids = np.random.default_rng(0).integers(model.vocab_size, size=(2, 5))
    scores, _ = model.score(ids, model.initial_state(2))

    state = model.initial_state(2)
    for t in range(5):
        log_probs = model.next_log_probs(state)
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(scores[:, t], log_probs[[0, 1], ids[:, t]], atol=1e-5)
        _, state = model.score(ids[:, t : t + 1], state)


def test_what_was_interrupted_ends_the_same(run, trainer_in, tmp_path):
    trainer, name = trainer_in(tmp_path), run.path.parent.name.rstrip("0123456789")
    with pytest.raises(Interrupted):
        trainer("again", *SETTINGS[name], report=trainer.stop_when("validating", 2))
    resumed = trainer("again", *SETTINGS[name])

    weights = [(one.path / "model" / "weights.safetensors").read_bytes() for one in (resumed, run)]
    assert weights[0] == weights[1]
    assert losses(resumed, "valid") == losses(run, "valid")


@pytest.mark.parametrize("damage", ["ranks", "softmax"])
def test_an_adaptive_model_is_read_with_its_ranks_or_not_at_all(damage, dataset, tmp_path):
    config, backbone = LMConfig(softmax="adaptive"), LSTM(LSTMConfig(hidden_size=6))
    task = LanguageModelling(config, dataset=dataset, backbone=backbone, training=TrainingConfig())
    task.predictor(task.init(jax.random.key(0))).save(tmp_path)
    if damage == "ranks":  # no permutation
        path = tmp_path / "weights.safetensors"
        weights = load_file(path)
        save_file({**weights, "ranks": np.zeros_like(weights["ranks"])}, path)
    else:
        config = LMConfig()

    with pytest.raises(DataError, match=r"weights\.safetensors is damaged, or made for another task\.softmax"):
        LanguageModelling.load(tmp_path, config, backbone=backbone)
