"""The `lm` task and its predictor: one definition of a token's probability, whatever the shapes."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from lmtool.config import TrainingConfig
from lmtool.errors import DataError
from lmtool.tasks import output as output_module
from lmtool.tasks import predictor as predictor_module
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

BACKBONE = LSTM(LSTMConfig(hidden_size=6))


def make_task(dataset, backbone=BACKBONE, **settings):
    training = TrainingConfig(batch_size=3, bptt=8)
    return LanguageModelling(LMConfig(**{"dropout": 0.0, **settings}), dataset=dataset, backbone=backbone,
                             training=training)  # fmt: skip


@pytest.fixture(scope="module")
def task(dataset):
    return make_task(dataset, shift=False)


@pytest.fixture(scope="module")
def params(task):
    return jax.jit(task.init)(jax.random.key(0))


def with_state(model, batch):
    """A fresh state that knows the token before each row."""
    return model.initial_state(len(batch["inputs"]))._replace(last=jnp.asarray(batch["inputs"][:, 0]))


def test_loss_is_the_mean_of_what_the_predictor_gives_the_targets(task, params):
    batch = task.batch(0)
    loss, (_, num_targets) = task.loss(params, task.initial_carry(), batch, jax.random.key(0))
    model = task.predictor(params)
    scores, _ = model.score(batch["targets"], with_state(model, batch))

    assert float(loss) == pytest.approx(-scores.mean(), rel=1e-5)
    assert num_targets == scores.size


def test_masked_targets_cost_nothing(task, params):
    last = task.batch(task.steps_per_epoch - 1)
    assert not last["mask"].all()
    noise = {**last, "targets": np.where(last["mask"], last["targets"], 1)}
    losses = [task.loss(params, task.initial_carry(), batch, jax.random.key(0))[0] for batch in (last, noise)]

    assert float(losses[0]) == float(losses[1])


def test_fresh_weights_are_near_the_uniform_distribution(task, params):
    loss, _ = task.loss(params, task.initial_carry(), task.batch(0), jax.random.key(0))

    assert float(loss) == pytest.approx(np.log(task.network.vocab_size), rel=0.01)


@pytest.mark.parametrize("settings", [{"tied": False}, {"embedding_size": 4}, {"embedding_size": 4, "tied": False}])
def test_sizes_and_tying(dataset, settings):
    task = make_task(dataset, **settings)
    params = jax.jit(task.init)(jax.random.key(0))
    shapes = {name: array.shape for name, array in params["params"].items() if hasattr(array, "shape")}
    size = settings.get("embedding_size", 6)

    assert shapes["embedding"] == (dataset.vocab_size, size)
    assert ("output_embedding" in shapes) == (not settings.get("tied", True))
    assert ("projection" in params["params"]) == (size != 6)


def test_dropout_makes_the_loss_depend_on_the_key(dataset):
    task = make_task(dataset, dropout=0.5)
    params = jax.jit(task.init)(jax.random.key(0))
    loss = jax.jit(lambda key: task.loss(params, task.initial_carry(), task.batch(0), key)[0])

    assert loss(jax.random.key(0)) == loss(jax.random.key(0))
    assert loss(jax.random.key(0)) != loss(jax.random.key(1))


def test_scores_do_not_depend_on_how_the_work_is_cut(task, params, monkeypatch):
    model = task.predictor(params)
    ids = np.random.default_rng(0).integers(task.network.vocab_size, size=(2, 70))
    whole, _ = model.score(ids, model.initial_state(2))
    # 7 rows of logits at once, windows of 16 steps
    monkeypatch.setattr(output_module, "LOGITS_AT_ONCE", 7 * task.network.vocab_size)
    monkeypatch.setattr(predictor_module, "LONGEST_WINDOW", 16)
    cut = predictor_module.NeuralLanguageModel(predictor_module.Functions(task.network, model.functions.eos_id), params)

    np.testing.assert_allclose(cut.score(ids, cut.initial_state(2))[0], whole, atol=1e-5)


def test_hidden_states_are_what_each_token_was_predicted_from(task, params):
    model = task.predictor(params)
    ids = np.random.default_rng(0).integers(task.network.vocab_size, size=(2, 40))
    log_probs, hidden, state = model.score_hidden(ids, model.initial_state(2))
    logits = hidden @ np.asarray(params["params"]["embedding"]).T + np.asarray(params["params"]["output_bias"])
    expected = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))

    np.testing.assert_allclose(np.take_along_axis(expected, ids[..., None], axis=2)[..., 0], log_probs, atol=1e-4)
    np.testing.assert_allclose(log_probs, model.score(ids, model.initial_state(2))[0], atol=1e-6)
    # what comes next is predicted from the same state whatever it is
    for token in (0, 1):
        following = model.score_hidden(np.full((2, 1), token), state)[1][:, 0]
        logits = following @ np.asarray(params["params"]["embedding"]).T + np.asarray(params["params"]["output_bias"])
        np.testing.assert_allclose(jax.nn.log_softmax(logits), model.next_log_probs(state), atol=1e-4)


def test_few_shapes_are_compiled(task, params):
    model = predictor_module.NeuralLanguageModel(predictor_module.Functions(task.network, 0), params)
    state = model.initial_state(1)
    for length in range(1, 33):
        model.score(np.zeros((1, length), np.int32), state)

    assert model.functions.score._cache_size() == 6  # 1, 2, 4, 8, 16, 32


def test_nothing_to_score_changes_nothing(task, params):
    model = task.predictor(params)
    state = model.initial_state(2)
    scores, after = model.score(np.zeros((2, 0), np.int32), state)

    assert scores.shape == (2, 0)
    assert after is state


def test_weights_have_the_documented_names(task, params, tmp_path):
    task.predictor(params).save(tmp_path)

    with safe_open(tmp_path / "weights.safetensors", "numpy") as file:
        names = set(file.keys())
    assert names == {
        "embedding", "output_bias", "backbone.layer_0_input_kernel", "backbone.layer_0_recurrent_kernel",
        "backbone.layer_0_bias",
    }  # fmt: skip


def test_what_was_saved_gives_the_same_scores(task, params, tmp_path):
    model = task.predictor(params)
    model.save(tmp_path)
    loaded = LanguageModelling.load(tmp_path, LMConfig(), backbone=BACKBONE)
    ids = np.arange(20)[None] % model.vocab_size

    assert (loaded.score(ids, loaded.initial_state(1))[0] == model.score(ids, model.initial_state(1))[0]).all()


def test_weights_of_another_network_are_refused(task, params, tmp_path):
    task.predictor(params).save(tmp_path)

    with pytest.raises(DataError, match=r"weight backbone.layer_0_bias has shape \(24,\), the config asks for \(28,\)"):
        LanguageModelling.load(tmp_path, LMConfig(), backbone=LSTM(LSTMConfig(hidden_size=7)))


@pytest.mark.parametrize("damage", ["weights", "facts", "format"])
def test_damaged_files_are_named(task, params, tmp_path, damage):
    task.predictor(params).save(tmp_path)
    name = "weights.safetensors" if damage == "weights" else "model.json"
    facts = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / name).write_text(json.dumps({**facts, "format": 9}) if damage == "format" else "{}")

    with pytest.raises(DataError, match=name):
        LanguageModelling.load(tmp_path, LMConfig(), backbone=BACKBONE)
