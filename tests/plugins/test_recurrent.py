"""LSTM, GRU and plain recurrent networks: what each is by definition, and what the options do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.testing import conformance
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import GRUConfig, LSTMConfig, RNNConfig
from lmtool_lstm.gru import GRU
from lmtool_lstm.rnn import RNN

BATCH, TIME, EMBEDDING = 3, 5, 4
LENGTHS = [TIME, 2, 0]
MASK = np.arange(TIME)[None] < np.asarray(LENGTHS)[:, None]
EVERYTHING = {"num_layers": 2, "dropout": 0.1, "weight_dropout": 0.2, "layer_norm": True, "residual": True}

CELLS = {
    "lstm": LSTM(LSTMConfig(hidden_size=3)),
    "lstm-projected": LSTM(LSTMConfig(hidden_size=3, projection_size=2)),
    "gru": GRU(GRUConfig(hidden_size=3)),
    "rnn": RNN(RNNConfig(hidden_size=3)),
    "rnn-relu": RNN(RNNConfig(hidden_size=3, activation="relu")),
}
NAMES = [name for name in CELLS if name != "lstm-projected"]


@conformance("model", "lstm", config={**EVERYTHING, "hidden_size": 16, "projection_size": 8})
def test_lstm_with_projection_has_every_property_of_a_backbone(check):
    check()


@conformance("model", "gru", config={**EVERYTHING, "hidden_size": 16})
def test_gru_has_every_property_of_a_backbone(check):
    check()


@conformance("model", "rnn", config={"hidden_sizes": [12, 16], "recurrent_init": "orthogonal"})
def test_rnn_has_every_property_of_a_backbone(check):
    check()


@conformance("model", "gru", config={**EVERYTHING, "hidden_size": 8, "bidirectional": True})
def test_bidirectional_gru_has_every_property_of_an_encoder(check):
    check()


def arrays(size=EMBEDDING, seed=0):
    return np.random.default_rng(seed).normal(size=(BATCH, TIME, size)).astype(np.float32)


def a_carry(backbone, batch=BATCH, seed=1):
    """Not all zeros."""
    rng = np.random.default_rng(seed)
    zeros = backbone.initial_carry(batch, EMBEDDING)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), zeros)


def initialised(backbone, x, seed=0):
    """Parameters with biases that are not zero."""
    carry = backbone.initial_carry(len(x), x.shape[-1])
    params = jax.jit(lambda key: backbone.init(key, x, None, carry, train=False))(jax.random.key(seed))
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32) / 10, params)


def read(backbone, params, x, mask=None, carry=None, **options):
    carry = backbone.initial_carry(len(x), x.shape[-1]) if carry is None else carry
    return jax.jit(lambda x: backbone.apply(params, x, mask, carry, **{"train": False, **options}))(x)


def sigmoid(x):
    return 1 / (1 + jnp.exp(-x))


def lstm_step(state, gates, kernel, projection=None):
    c, h = state
    i, f, g, o = jnp.split(gates + h @ kernel, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    h = sigmoid(o) * jnp.tanh(c)
    return c, h if projection is None else h @ projection


def gru_step(h, gates, kernel, bias):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = jnp.split(gates, 3, axis=-1), jnp.split(h @ kernel, 3, axis=-1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return (1 - z) * jnp.tanh(x_n + r * (h_n + bias[None])) + z * h


def states_one_by_one(step, projected, state):
    states = []
    for gates in projected:
        state = step(state, gates)
        states.append(state)
    return jax.tree.map(lambda *steps: jnp.stack(steps), *states)


def naive_lstm(projected, kernel, c, h):
    cs, hs = states_one_by_one(lambda state, gates: lstm_step(state, gates, kernel), projected, (c, h))
    return hs, cs


def naive_projected(projected, kernel, projection, c, h):
    cs, hs = states_one_by_one(lambda state, gates: lstm_step(state, gates, kernel, projection), projected, (c, h))
    return hs, cs


def naive_gru(projected, kernel, bias, h):
    return states_one_by_one(lambda h, gates: gru_step(h, gates, kernel, bias), projected, h)


def naive_rnn(projected, kernel, h, activation):
    function = {"tanh": jnp.tanh, "relu": lambda x: jnp.maximum(x, 0)}[activation]
    return states_one_by_one(lambda h, x: function(x + h @ kernel), projected, h)


@pytest.fixture
def naive(monkeypatch):
    """Call it, and every cell is a loop over its equations that JAX differentiates."""

    def replace():
        monkeypatch.setattr("lmtool_lstm.backbone.unroll", naive_lstm)
        monkeypatch.setattr("lmtool_lstm.projected.unroll", naive_projected)
        monkeypatch.setattr("lmtool_lstm.gru.unroll", naive_gru)
        monkeypatch.setattr("lmtool_lstm.rnn.unroll", naive_rnn)

    return replace


def loss_and_grads(backbone, x, params, carry):
    """Of outputs at real positions and of the last carry, with respect to everything."""

    def loss(params, x, carry):
        h, last = backbone.apply(params, x, MASK, carry, train=False)
        at_real = jnp.where(MASK[:, :, None], jnp.sin(2 * h.astype(jnp.float32)), 0.0)
        return jnp.sum(at_real) + sum(jnp.sum(jnp.cos(leaf)) for leaf in jax.tree.leaves(last))

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(params, x, carry)


@pytest.mark.parametrize("name", CELLS)
def test_cell_and_its_gradient_are_those_of_its_equations(name, naive):
    backbone, x = CELLS[name], arrays()
    params, carry = initialised(backbone, x), a_carry(backbone)

    found = loss_and_grads(backbone, x, params, carry)
    naive()
    expected = loss_and_grads(backbone, x, params, carry)

    jax.tree.map(lambda mine, theirs: np.testing.assert_allclose(mine, theirs, atol=2e-6, rtol=2e-5), found, expected)


@pytest.mark.parametrize("name", CELLS)
def test_bfloat16_inputs_give_bfloat16_outputs_and_float32_carry_and_gradients(name):
    backbone, x = CELLS[name], arrays()
    params, carry = initialised(backbone, x), a_carry(backbone)

    h, last = read(backbone, params, jnp.asarray(x, jnp.bfloat16), carry=carry)
    _, (weights, d_x, d_carry) = loss_and_grads(backbone, jnp.asarray(x, jnp.bfloat16), params, carry)
    _, (exact, _, _) = loss_and_grads(backbone, x, params, carry)

    assert (h.dtype, d_x.dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves((last, weights, d_carry))} == {np.dtype(np.float32)}
    for mine, theirs in zip(jax.tree.leaves(weights), jax.tree.leaves(exact), strict=True):
        assert np.linalg.norm(mine - theirs) < 0.03 * np.linalg.norm(theirs)  # 8 bits: 0.4% a rounding


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_bfloat16_adds_up_the_gradient_of_biases_in_float32(name):
    # A sum in bfloat16 no longer grows once it is 256 times what is added; here 4096 rows are.
    backbone, x = CELLS[name], np.ones((64, 64, EMBEDDING), np.float32)
    params, carry = initialised(backbone, x), backbone.initial_carry(64, EMBEDDING)

    def bias_gradient(x):
        grads = jax.grad(lambda p: jnp.sum(backbone.apply(p, x, None, carry, train=False)[0].astype(jnp.float32)))
        return jax.jit(grads)(params)["params"]["layer_0_bias"]

    np.testing.assert_allclose(bias_gradient(jnp.asarray(x, jnp.bfloat16)), bias_gradient(x), rtol=0.03, atol=3.0)


def test_gru_reset_gate_comes_after_the_product():
    gru, x = CELLS["gru"], arrays()
    params, (h0,) = initialised(gru, x), a_carry(gru)[0]
    w = {name: np.asarray(array, np.float64) for name, array in params["params"].items()}
    x_r, x_z, x_n = np.split(x[:, 0] @ w["layer_0_input_kernel"] + w["layer_0_bias"], 3, axis=-1)
    u_r, u_z, u_n = np.split(w["layer_0_recurrent_kernel"], 3, axis=-1)
    r, z = 1 / (1 + np.exp(-x_r - h0 @ u_r)), 1 / (1 + np.exp(-x_z - h0 @ u_z))
    n = np.tanh(x_n + r * (h0 @ u_n + w["layer_0_recurrent_bias"]))

    output, _ = read(gru, params, x[:, :1], carry=((h0,),))

    np.testing.assert_allclose(output[:, 0], (1 - z) * n + z * h0, atol=1e-6)


def test_projection_makes_the_output_and_the_recurrent_kernel_small():
    lstm, x = LSTM(LSTMConfig(hidden_size=6, projection_size=2, num_layers=2)), arrays()
    params, carry = initialised(lstm, x), lstm.initial_carry(BATCH, EMBEDDING)

    assert lstm.features == 2
    assert [(c.shape, h.shape) for c, h in carry] == [((BATCH, 6), (BATCH, 2))] * 2
    assert params["params"]["layer_1_input_kernel"].shape == (2, 24)
    assert params["params"]["layer_1_recurrent_kernel"].shape == (2, 24)
    assert read(lstm, params, x)[0].shape == (BATCH, TIME, 2)


def test_weight_dropout_removes_recurrent_weights_by_one_mask_a_window():
    # Row i starts at the i-th unit vector and reads zeros, so its first output is tanh of the kernel's row i.
    rnn = RNN(RNNConfig(hidden_size=8, weight_dropout=0.5))
    x = np.zeros((8, 1, 4), np.float32)
    params = jax.jit(lambda: rnn.init(jax.random.key(0), x, None, rnn.initial_carry(8, 4), train=False))()
    kernel = np.asarray(params["params"]["layer_0_recurrent_kernel"])

    def seen(seed, **options):
        rngs = {"dropout": jax.random.key(seed)}
        return np.arctanh(read(rnn, params, x, carry=((np.eye(8, dtype=np.float32),),), rngs=rngs, **options)[0][:, 0])

    thinned, other = seen(0, train=True), seen(1, train=True)
    kept = thinned != 0

    np.testing.assert_allclose(thinned, np.where(kept, 2 * kernel, 0), atol=1e-5)
    assert 16 <= kept.sum() <= 48  # of 64, half on average, 4 standard deviations either way
    assert (kept != (other != 0)).any()
    np.testing.assert_allclose(seen(0, train=False), kernel, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_residual_adds_what_the_layer_reads_where_sizes_agree(name):
    backbone, x = CELLS[name], arrays(size=3)
    with_residual = backbone.clone(config=backbone.config.model_copy(update={"residual": True}))
    params = initialised(backbone, x)

    np.testing.assert_allclose(read(with_residual, params, x)[0], read(backbone, params, x)[0] + x, atol=1e-6)
    other_size = arrays(size=4)
    params = initialised(backbone, other_size)
    np.testing.assert_array_equal(read(with_residual, params, other_size)[0], read(backbone, params, other_size)[0])


def test_layer_norm_makes_the_scale_of_the_input_irrelevant():
    gru, x = GRU(GRUConfig(hidden_size=3, layer_norm=True)), arrays(size=8)
    params = initialised(gru, x)

    np.testing.assert_allclose(read(gru, params, 100 * x + 5)[0], read(gru, params, x)[0], atol=1e-4)


def test_orthogonal_initialisation_is_one_orthogonal_matrix_a_gate():
    lstm, x = LSTM(LSTMConfig(hidden_size=5, recurrent_init="orthogonal")), arrays()
    params = jax.jit(lambda: lstm.init(jax.random.key(0), x, None, lstm.initial_carry(BATCH, 4), train=False))()
    gates = np.split(np.asarray(params["params"]["layer_0_recurrent_kernel"]), 4, axis=1)

    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(5), atol=1e-5)
    assert not np.allclose(gates[0], gates[1])


@pytest.mark.parametrize("name", NAMES)
def test_bidirectional_is_two_networks_one_of_which_reads_the_real_part_backwards(name):
    one_way, x = CELLS[name], arrays()
    both_ways = one_way.clone(config=one_way.config.model_copy(update={"bidirectional": True}))
    params = initialised(both_ways, x)
    weights = params["params"]
    forwards = {"params": {key: value for key, value in weights.items() if "_backward_" not in key}}
    backwards = {"params": {key: weights[key.replace("layer_0", "layer_0_backward")] for key in forwards["params"]}}

    output, carry = read(both_ways, params, np.where(MASK[:, :, None], x, 100).astype(np.float32), mask=MASK)

    assert (both_ways.features, both_ways.causal, one_way.causal, carry) == (6, False, True, ())
    for row, length in enumerate(LENGTHS[:2]):
        real = x[row : row + 1, :length]
        np.testing.assert_allclose(output[row, :length, :3], read(one_way, forwards, real)[0][0], atol=1e-6)
        from_behind = read(one_way, backwards, real[:, ::-1])[0][0, ::-1]
        np.testing.assert_allclose(output[row, :length, 3:], from_behind, atol=1e-6)
