"""Averages of weights by hand, around any optimizer."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lmtool.training.around import observed
from lmtool.training.averaging import ExponentialAverage
from lmtool.training.state import as_optimizer, on_device


def params_after(optimizer, steps):
    """Parameters that each step moves by one from zero, and the optimizer's state."""
    params = {"w": jnp.zeros(2)}
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update({"w": jnp.full(2, -1.0)}, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, 0.0),
        (1, 1.0),
        (2, (0.5 * 1 + 1 * 2) / (0.5 + 1)),  # weights 0.5 and 1
        (3, (0.25 * 1 + 0.5 * 2 + 1 * 3) / (0.25 + 0.5 + 1)),
    ],
)
def test_weights_of_the_average_fall_by_the_decay_and_sum_to_one(steps, expected):
    optimizer = ExponentialAverage(as_optimizer(optax.sgd(1.0)), 0.5)
    params, state = params_after(optimizer, steps)

    np.testing.assert_allclose(params["w"], steps)  # trained as without
    np.testing.assert_allclose(optimizer.eval_params(params, state)["w"], expected, rtol=1e-6)


def test_all_of_the_optimizer_shows_through_the_average():
    inner = as_optimizer(optax.sgd(1.0))
    inner = SimpleNamespace(
        init=lambda params: jnp.zeros(()),
        update=inner.update,
        sample_params=lambda params, state, *, key: {"w": params["w"] + 1},
        observe=lambda state, value: value,
        schedule=lambda step: step / 2,
    )
    optimizer = ExponentialAverage(inner, 0.9)
    state = optimizer.init({"w": jnp.zeros(2)})

    assert optimizer.sample_params({"w": jnp.zeros(2)}, state, key=jax.random.key(0))["w"].tolist() == [1, 1]
    assert optimizer.observe(state, 3.5).state == 3.5
    assert optimizer.schedule(3) == 1.5
    assert ExponentialAverage(as_optimizer(optax.sgd(1.0)), 0.9).schedule is None


def test_observing_keeps_types_so_that_the_step_is_not_compiled_anew():
    optimizer = SimpleNamespace(observe=lambda state, value: {"last": value, "seen": state["seen"] + 1})
    state = on_device({"last": jnp.zeros((), jnp.float32), "seen": jnp.zeros((), jnp.int32)})
    step = jax.jit(lambda state: state["last"] * 2)
    step(state)

    after = observed(optimizer, state, 1.5)

    assert step(after) == 3
    assert step._cache_size() == 1
    assert int(after["seen"]) == 1


def test_an_optimizer_that_does_not_observe_is_left_alone():
    state = object()

    assert observed(as_optimizer(optax.sgd(1.0)), state, 1.5) is state
