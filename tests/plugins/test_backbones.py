"""LSTM and CNN: the properties of every backbone, and what each is by definition."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.testing import conformance
from lmtool_cnn.backbone import CNN
from lmtool_cnn.config import CNNConfig
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig


@conformance("model", "lstm", config={"hidden_sizes": [12, 16], "dropout": 0.1})
def test_lstm_has_every_property_of_a_backbone(check):
    check()


@conformance("model", "cnn", config={"channels": 16, "num_layers": 3, "kernel_size": 3, "dilations": [1, 2]})
def test_cnn_has_every_property_of_a_backbone(check):
    check()


def initialised(backbone, batch, time, size):
    x = np.random.default_rng(0).normal(size=(batch, time, size)).astype(np.float32)
    carry = backbone.initial_carry(batch, size)
    params = jax.jit(lambda key: backbone.init(key, x, None, carry, train=False))(jax.random.key(0))
    return params, x, carry


def read(backbone, params, x, carry):
    return jax.jit(lambda: backbone.apply(params, x, None, carry, train=False))()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_follows_its_equations():
    lstm = LSTM(LSTMConfig(hidden_size=3, num_layers=1))
    params, x, carry = initialised(lstm, 2, 4, 5)
    weights = {name: np.asarray(array, np.float64) for name, array in params["params"].items()}
    c, h = np.zeros((2, 3)), np.zeros((2, 3))
    expected = []
    for t in range(4):
        gates = np.asarray(x[:, t]) @ weights["layer_0_input_kernel"] + h @ weights["layer_0_recurrent_kernel"]
        i, f, g, o = np.split(gates + weights["layer_0_bias"], 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)

    output, ((last_c, last_h),) = read(lstm, params, x, carry)

    np.testing.assert_allclose(output, np.stack(expected, axis=1), atol=1e-6)
    np.testing.assert_allclose(last_c, c, atol=1e-6)
    np.testing.assert_allclose(last_h, h, atol=1e-6)


def test_lstm_gradient_agrees_with_finite_differences():
    from jax.test_util import check_grads

    lstm = LSTM(LSTMConfig(hidden_size=3, num_layers=2))
    params, x, carry = initialised(lstm, 2, 3, 4)
    mask = jnp.asarray([[True, True, True], [True, False, False]])

    def loss(params, x, carry):
        h, carry = lstm.apply(params, x, mask, carry, train=False)
        return jnp.sum(jnp.where(mask[:, :, None], h, 0.0) ** 2) + sum(jnp.sum(c * h) for c, h in carry)

    check_grads(jax.jit(loss), (params, x, carry), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_lstm_starts_with_open_forget_gates():
    params, _, _ = initialised(LSTM(LSTMConfig(hidden_size=4, num_layers=1)), 1, 1, 2)

    assert params["params"]["layer_0_bias"].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_lstm_sizes_can_differ_by_layer():
    lstm = LSTM(LSTMConfig(hidden_sizes=[6, 3]))
    params, x, carry = initialised(lstm, 1, 2, 2)
    output, carry = read(lstm, params, x, carry)

    assert output.shape == (1, 2, 3)
    assert [c.shape for c, _ in carry] == [(1, 6), (1, 3)]


@pytest.mark.parametrize(("kernel_size", "num_layers", "dilations"), [(3, 2, [1]), (2, 3, [1, 2, 4]), (1, 2, [1])])
def test_cnn_sees_as_far_back_as_its_layers_reach(kernel_size, num_layers, dilations):
    config = CNNConfig(channels=8, kernel_size=kernel_size, num_layers=num_layers, dilations=dilations)
    reach = sum((kernel_size - 1) * dilations[layer % len(dilations)] for layer in range(num_layers))
    cnn, time = CNN(config), 12
    params, x, carry = initialised(cnn, 1, time, 8)

    def last_output(x):
        return jnp.sum(cnn.apply(params, x, None, carry, train=False)[0][:, -1])

    seen = np.flatnonzero(np.abs(jax.jit(jax.grad(last_output))(x)).sum(axis=(0, 2)))

    assert seen.tolist() == list(range(time - 1 - reach, time))


def test_cnn_layer_is_a_gated_convolution_with_a_residual():
    cnn = CNN(CNNConfig(channels=3, kernel_size=2, num_layers=1))
    params, x, carry = initialised(cnn, 1, 4, 3)
    kernel = np.asarray(params["params"]["layer_0"]["kernel"])  # [2 positions x 3 channels, values and gates]
    padded = np.concatenate([np.zeros((1, 3)), x[0]])
    both = np.stack([np.concatenate([padded[t], padded[t + 1]]) @ kernel for t in range(4)])
    expected = (both[:, :3] * sigmoid(both[:, 3:]) + np.asarray(x[0])) * np.sqrt(0.5)

    output, _ = read(cnn, params, x, carry)

    np.testing.assert_allclose(output[0], expected, atol=1e-5)


@pytest.mark.parametrize("backbone", [LSTM(LSTMConfig(hidden_size=16, num_layers=2, dropout=0.5)),
                                      CNN(CNNConfig(channels=16, num_layers=2, dropout=0.5))])  # fmt: skip
def test_dropout_changes_the_output_in_training(backbone):
    params, x, carry = initialised(backbone, 2, 5, 16)

    @jax.jit
    def output(seed):
        return backbone.apply(params, x, None, carry, train=True, rngs={"dropout": jax.random.key(seed)})[0]

    assert not np.allclose(output(0), output(1))
