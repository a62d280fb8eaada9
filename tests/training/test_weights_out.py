"""Networks for other programs: named weights, and the scoring function alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from lmtool.config import TrainingConfig
from lmtool.registry import Registry
from lmtool.tasks.classify.vectors import read_vectors
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling

ROOT = Path(__file__).parents[2]
READER = """
import sys
for name in ("lmtool", "flax", "lmtool_lstm", "lmtool_cnn"):
    sys.modules[name] = None  # importing it would fail
import jax, numpy as np
from jax import export
scoring = export.deserialize(open(sys.argv[1], "rb").read())
ids = np.load(sys.argv[2])
state = tuple(np.zeros((len(ids), *one.shape[1:]), one.dtype) for one in scoring.in_avals[1:])
pieces = []
for piece in np.split(ids, [1, 8], axis=1):
    log_probs, state = scoring.call(piece, state)
    pieces.append(log_probs)
np.save(sys.argv[3], np.concatenate(pieces, axis=1))
"""


class Counting(nn.Module):
    """A backbone that must know how many time steps it reads, and whose first carry is not zero."""

    features: int = 4

    def initial_carry(self, batch_size, input_size):
        return {"sum": jnp.full((batch_size, input_size), 2.0)}

    @nn.compact
    def __call__(self, x, mask, carry, *, train):
        h, total = [], carry["sum"]
        for t in range(int(x.shape[1])):
            real = jnp.ones((x.shape[0], 1), bool) if mask is None else mask[:, t, None]
            total = jnp.where(real, 0.5 * total + x[:, t], total)
            h.append(jnp.tanh(total))
        return jnp.stack(h, axis=1), {"sum": total}


def backbone(name, **settings):
    if name == "counting":
        return Counting()
    found = Registry(third_party=False).find("model", name)
    return found.load()(found.config_class()(**settings))


def model_of(dataset, backbone, **settings):
    training = TrainingConfig(batch_size=3, bptt=8)
    task = LanguageModelling(LMConfig(**settings), dataset=dataset, backbone=backbone, training=training)
    # three times as large as they start: a fresh network says nearly the same whatever it has read
    return task.predictor(jax.tree.map(lambda leaf: 3 * leaf, jax.jit(task.init)(jax.random.key(0))))


def exported(model, format, dataset):
    file = io.BytesIO()
    model.export(format, file, dataset.tokenizer)
    return file.getvalue()


def some_ids(model, batch, time):
    return np.random.default_rng(0).integers(model.vocab_size, size=(batch, time)).astype(np.int32)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lstm", {}),
        ("lstm", {"softmax": "adaptive", "cutoffs": [5, 10]}),
        ("lstm", {"embedding_size": 5, "tied": False}),
        ("cnn", {}),
        ("counting", {}),
    ],
)
def test_the_exported_function_gives_the_same_scores(dataset, name, settings):
    model = model_of(dataset, backbone(name), **settings)
    scoring = jax.export.deserialize(bytearray(exported(model, "stablehlo", dataset)))
    ids = some_ids(model, 2, 9)
    state = tuple(np.zeros((2, *one.shape[1:]), one.dtype) for one in scoring.in_avals[1:])

    first, state = scoring.call(ids[:, :4], state)
    second, _ = scoring.call(ids[:, 4:], state)

    expected, _ = model.score(ids, model.initial_state(2))
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, rtol=2e-5, atol=1e-5)
    assert set(scoring.platforms) >= {"cpu", "cuda", "tpu"}


def test_the_exported_function_needs_jax_alone(dataset, tmp_path):
    model = model_of(dataset, backbone("lstm", hidden_size=6))
    ids = some_ids(model, 2, 20)
    (tmp_path / "lm.stablehlo").write_bytes(exported(model, "stablehlo", dataset))
    np.save(tmp_path / "ids.npy", ids)

    command = [sys.executable, "-c", READER, "lm.stablehlo", "ids.npy", "scores.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    expected, _ = model.score(ids, model.initial_state(2))
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, atol=1e-5)


def test_a_row_whose_state_is_zero_starts_afresh(dataset):
    model = model_of(dataset, backbone("lstm", hidden_size=6))
    scoring = jax.export.deserialize(bytearray(exported(model, "stablehlo", dataset)))
    ids = some_ids(model, 2, 6)
    _, state = scoring.call(ids, tuple(np.zeros((2, *one.shape[1:]), one.dtype) for one in scoring.in_avals[1:]))
    reset = tuple(np.stack([np.asarray(one[0]), np.zeros_like(one[1])]) for one in state)

    log_probs, _ = scoring.call(ids, reset)

    fresh, after = model.score(ids, model.initial_state(2))
    np.testing.assert_allclose(log_probs[1], fresh[1], atol=1e-5)
    np.testing.assert_allclose(log_probs[0], model.score(ids, after)[0][0], atol=1e-5)


def test_a_file_says_nothing_of_the_machine_that_wrote_it(dataset):
    file = exported(model_of(dataset, backbone("lstm", hidden_size=6)), "stablehlo", dataset)

    assert str(ROOT).encode() not in file
    assert b".py" not in file


def test_one_lstm_step_by_hand_from_the_named_weights(dataset, tmp_path):
    model = model_of(dataset, backbone("lstm", hidden_size=6))
    (tmp_path / "lm.safetensors").write_bytes(exported(model, "safetensors", dataset))
    with safe_open(tmp_path / "lm.safetensors", "numpy") as file:
        weights, facts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    # from nothing: c = h = 0, and the end of a line before
    x = weights["embedding"][int(facts["eos_id"])]
    gates = x @ weights["backbone.layer_0_input_kernel"] + weights["backbone.layer_0_bias"]
    i, _, g, o = np.split(gates, 4)
    h = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
    logits = weights["embedding"] @ h + weights["output_bias"]
    by_hand = logits - np.log(np.exp(logits).sum())

    np.testing.assert_allclose(by_hand, model.next_log_probs(model.initial_state(1))[0], atol=1e-5)


def test_the_metadata_say_how_to_build_the_network_anew(dataset, tmp_path):
    model = model_of(dataset, backbone("lstm", hidden_size=6), tied=False)
    (tmp_path / "lm.safetensors").write_bytes(exported(model, "safetensors", dataset))
    with safe_open(tmp_path / "lm.safetensors", "numpy") as file:
        facts = file.metadata()

    tokenizer = dataset.tokenizer
    assert json.loads(facts["tokens"]) == tokenizer.tokens(range(tokenizer.vocab_size))
    assert (facts["vocab_size"], facts["eos_id"]) == (str(tokenizer.vocab_size), str(tokenizer.eos_id))
    assert facts["tokenizer"] == tokenizer.fingerprint
    module, _, name = facts["backbone"].partition(":")
    made = getattr(sys.modules[module], name)(
        model.functions.network.backbone.config.model_validate_json(facts["backbone_config"])
    )
    assert made == model.functions.network.backbone
    assert LMConfig.model_validate_json(facts["task"]) == model.functions.network.config
    assert (facts["format"], facts["version"]) == ("lmtool-weights", "1")


@pytest.mark.parametrize("settings", [{}, {"softmax": "adaptive", "cutoffs": [5, 10]}])
def test_exported_vectors_are_those_that_the_network_reads_for_each_token(dataset, tmp_path, settings):
    model = model_of(dataset, backbone("lstm"), **settings)
    network, tokens = model.functions.network, dataset.tokenizer.tokens(range(model.vocab_size))
    weights = network.apply(model.params, method="output_weights")
    expected = network.output.embed(weights, jnp.arange(model.vocab_size))

    (tmp_path / "vectors.txt").write_bytes(exported(model, "word2vec", dataset))
    table, found = read_vectors(str(tmp_path / "vectors.txt"), tokens)

    assert list(found) == [token.split() == [token] for token in tokens]
    np.testing.assert_array_equal(table[found], np.asarray(expected)[found])
