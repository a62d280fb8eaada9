"""The non-monotonic trigger by its definition, and the mean of the weights after it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lmtool.testing import conformance
from lmtool_descent.asgd import ASGD
from lmtool_descent.config import ASGDConfig


@conformance("optimizer", "asgd", config={"learning_rate": 0.1})
def test_asgd_has_every_property_of_an_optimizer(check):
    check()


@conformance("optimizer", "asgd", config={"learning_rate": 0.1, "weight_decay": 0.01, "average_from": 100})
def test_asgd_that_averages_has_every_property_of_an_optimizer(check):
    check()


def made(**config):
    return ASGD(ASGDConfig(learning_rate=1.0, **config), total_steps=100, num_data=1)


def steps(optimizer, state, params, count):
    """Each moves the parameters by one."""
    for _ in range(count):
        updates, state = optimizer.update({"w": jnp.full(2, -1.0)}, state, params)
        params = optax.apply_updates(params, updates)
    return state, params


def triggered_at(losses, nonmono):
    """By algorithm 1 of Merity et al. 2018: v_k > min of v_l for l ≤ k − n − 1, validations counted from 0."""
    for k, loss in enumerate(losses):
        if k > nonmono and loss > min(losses[: k - nonmono]):
            return k
    return None


@pytest.mark.parametrize("nonmono", [1, 2, 5])
@pytest.mark.parametrize(
    "losses",
    [
        [5, 4, 3, 2, 1, 0.5, 0.4, 0.3],  # never
        [5, 4, 3, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5],
        [1, 2, 2, 2, 2, 2, 2, 2],
        [5, 4, 3, 4.5, 2, 1, 3.5, 0.5, 4, 4],
        [3, 3, 3, 3, 3, 3, 3, 3],  # no gain is no loss
    ],
)
def test_the_trigger_fires_when_the_paper_says_so(losses, nonmono):
    optimizer = made(nonmono=nonmono)
    state = optimizer.init({"w": jnp.zeros(2)})
    fired = []
    for loss in losses:
        state = optimizer.observe(state, float(loss))
        fired.append(bool(state.triggered))

    expected = triggered_at(losses, nonmono)
    assert fired == [expected is not None and number >= expected for number in range(len(losses))]


def test_the_mean_begins_with_the_weights_of_the_trigger_and_steps_go_on_from_the_last():
    optimizer = made(nonmono=1)
    params = {"w": jnp.zeros(2)}
    state, params = steps(optimizer, optimizer.init(params), params, 3)
    np.testing.assert_array_equal(optimizer.eval_params(params, state)["w"], 3)
    for loss in (1.0, 2.0, 3.0):
        state = optimizer.observe(state, loss)
    np.testing.assert_array_equal(optimizer.eval_params(params, state)["w"], 3)

    state, params = steps(optimizer, state, params, 3)

    np.testing.assert_array_equal(params["w"], 6)
    np.testing.assert_allclose(optimizer.eval_params(params, state)["w"], (3 + 4 + 5 + 6) / 4, rtol=1e-6)


def test_the_mean_may_begin_at_a_fixed_step_instead():
    optimizer = made(average_from=2, nonmono=1)
    params = {"w": jnp.zeros(2)}
    state = optimizer.init(params)
    for loss in (1.0, 2.0, 3.0):
        state = optimizer.observe(state, loss)
    state, params = steps(optimizer, state, params, 2)
    np.testing.assert_array_equal(optimizer.eval_params(params, state)["w"], 2)

    state, params = steps(optimizer, state, params, 2)

    np.testing.assert_allclose(optimizer.eval_params(params, state)["w"], (2 + 3 + 4) / 3, rtol=1e-6)


def test_weight_decay_adds_to_the_gradient():
    optimizer = made(weight_decay=0.25)
    params = {"w": jnp.full(2, 8.0), "kernel": jnp.full((2, 2), 8.0)}
    grads = jax.tree.map(lambda leaf: -jnp.ones_like(leaf), params)

    updates, _ = optimizer.update(grads, optimizer.init(params), params)

    np.testing.assert_allclose(updates["kernel"], -(-1 + 0.25 * 8))
    np.testing.assert_allclose(updates["w"], 1)  # a bias does not decay
