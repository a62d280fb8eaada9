"""The plain gradient step to the bit, schedules by their formulas, and the properties of every optimizer."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lmtool.testing import conformance
from lmtool.training.schedules import learning_rate
from lmtool.training.state import TrainState, as_optimizer
from lmtool_descent.config import AdamWConfig, DescentConfig, SGDConfig
from lmtool_descent.optimizers import adamw, sgd
from lmtool_descent.step import compile_step


@conformance("optimizer", "sgd")
def test_sgd_has_every_property_of_an_optimizer(check):
    check()


@conformance("optimizer", "sgd", config={"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01})
def test_sgd_with_momentum_has_every_property_of_an_optimizer(check):
    check()


@conformance("optimizer", "adamw", config={"learning_rate": 0.01, "schedule": "cosine", "warmup_steps": 10})
def test_adamw_has_every_property_of_an_optimizer(check):
    check()


def regression(params, carry, batch, key):
    """Mean squared error of a linear model; the carry counts steps."""
    error = batch["x"] @ params["w"] + params["b"] - batch["y"]
    return jnp.mean(error**2), (carry + 1, jnp.asarray(len(batch["y"])))


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    return [{"x": rng.normal(size=(8, 3)).astype("f4"), "y": rng.normal(size=8).astype("f4")} for _ in range(5)]


def fresh_state(optimizer):
    params = {"w": jnp.asarray([0.1, -0.2, 0.3], "f4"), "b": jnp.asarray(0.5, "f4")}
    step, seed = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), step, seed)


def test_sgd_is_the_plain_gradient_step_to_the_bit(batches):
    config = SGDConfig(learning_rate=0.05)
    optimizer = sgd(config, total_steps=5, num_data=8)
    step = compile_step(DescentConfig(), regression, optimizer, max_grad_norm=None, micro_batches=1)

    @jax.jit
    def by_hand(params, batch):
        grads = jax.grad(lambda params: regression(params, 0, batch, None)[0])(params)
        return jax.tree.map(lambda theta, grad: theta - 0.05 * grad, params, grads)

    state = fresh_state(optimizer)
    expected = fresh_state(optimizer).params
    for batch in batches:
        state, _ = step(state, batch)
        expected = by_hand(expected, batch)

    for mine, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected), strict=True):
        assert np.array_equal(mine, theirs)


def test_step_reports_loss_and_norm_before_the_update(batches):
    optimizer = sgd(SGDConfig(learning_rate=0.1), total_steps=5, num_data=8)
    step = compile_step(DescentConfig(), regression, optimizer, max_grad_norm=None, micro_batches=1)
    state = fresh_state(optimizer)
    loss, grads = jax.value_and_grad(lambda params: regression(params, 0, batches[0], None)[0])(state.params)

    state, metrics = step(state, batches[0])

    assert metrics.loss == pytest.approx(float(loss))
    assert metrics.grad_norm == pytest.approx(float(optax.tree.norm(grads)))
    assert metrics.num_targets == 8
    assert (int(state.step), int(state.carry)) == (1, 1)


@pytest.mark.parametrize("max_grad_norm", [0.01, 1e6])
def test_gradient_is_scaled_down_to_the_norm_but_never_up(batches, max_grad_norm):
    optimizer = sgd(SGDConfig(learning_rate=1.0), total_steps=5, num_data=8)
    before = fresh_state(optimizer).params
    step = compile_step(DescentConfig(), regression, optimizer, max_grad_norm=max_grad_norm, micro_batches=1)

    state, metrics = step(fresh_state(optimizer), batches[0])

    moved = optax.tree.norm(jax.tree.map(jnp.subtract, before, state.params))
    assert float(moved) == pytest.approx(min(max_grad_norm, float(metrics.grad_norm)), rel=1e-4)


@pytest.mark.parametrize(("max_grad_norm", "expected"), [(None, [2.0, -2.0, 1.0]), (1.5, [1.0, -1.0, 0.5])])
def test_components_of_a_gradient_are_cut_before_its_norm_is(max_grad_norm, expected):
    optimizer = sgd(SGDConfig(learning_rate=1.0), total_steps=5, num_data=8)
    config = DescentConfig(max_grad_value=2.0)
    step = compile_step(config, slope(10.0, -3.0, 1.0), optimizer, max_grad_norm=max_grad_norm, micro_batches=1)

    state, metrics = step(state_of(optimizer, jnp.zeros(3)), {})

    # Cut, it is (2, -2, 1), whose norm is 3; what is told is that of the whole gradient.
    np.testing.assert_allclose(state.params, -np.asarray(expected), rtol=1e-6)
    assert float(metrics.grad_norm) == pytest.approx(math.sqrt(100 + 9 + 1))


def slope(*gradient):
    """A loss that has this gradient everywhere."""

    def loss(params, carry, batch, key):
        return jnp.sum(params * jnp.asarray(gradient)), (carry, jnp.asarray(1))

    return loss


def state_of(optimizer, params, *, step=0, seed=0):
    number, seed = jnp.asarray(step, jnp.int32), jnp.asarray(seed, jnp.int32)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), number, seed)


def drawn_noise(step, *, seed=0, **settings):
    """What is added to 10,000 components of a gradient at a step."""
    optimizer = sgd(SGDConfig(learning_rate=1.0), total_steps=5, num_data=8)
    compiled = compile_step(DescentConfig(**settings), slope(0.0), optimizer, max_grad_norm=None, micro_batches=1)
    state, _ = compiled(state_of(optimizer, jnp.zeros(10_000), step=step, seed=seed), {})
    return -np.asarray(state.params)


@pytest.mark.parametrize(("step", "variance"), [(0, 0.04), (3, 0.02)])
def test_gradient_noise_has_the_variance_of_its_step(step, variance):
    # η / (1 + t)^γ with γ = ½: 0.04 at the first step, half of it at the fourth
    noise = drawn_noise(step, noise=0.04, noise_decay=0.5)

    # of n draws the mean has the deviation σ / √n = σ / 100, the variance √(2 / n) = 1.4 % of itself
    assert abs(noise.mean()) < 4 * math.sqrt(variance) / 100
    assert noise.var() == pytest.approx(variance, rel=4 * 0.0142)


def test_gradient_noise_is_a_function_of_seed_and_step():
    first = drawn_noise(0, noise=1.0, noise_decay=0.0)

    np.testing.assert_array_equal(first, drawn_noise(0, noise=1.0, noise_decay=0.0))
    for other in (drawn_noise(1, noise=1.0, noise_decay=0.0), drawn_noise(0, seed=1, noise=1.0, noise_decay=0.0)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.05  # 5 deviations of 1 / √n


def test_step_compiles_once_and_uses_its_buffers_up(batches):
    optimizer = adamw(AdamWConfig(), total_steps=5, num_data=8)
    step = compile_step(DescentConfig(), regression, optimizer, max_grad_norm=1.0, micro_batches=1)
    first = state = fresh_state(optimizer)
    for batch in batches:
        state, _ = step(state, batch)

    assert step._cache_size() == 1
    assert first.params["w"].is_deleted()


def test_gradient_is_taken_at_the_sampled_weights(batches):
    class Sampling:
        """Weights moved by one; updates are the gradients themselves."""

        def init(self, params):
            return ()

        def update(self, updates, state, params=None, **extra):
            return updates, state

        def sample_params(self, params, state, *, key):
            return jax.tree.map(lambda array: array + 1, params)

        def eval_params(self, params, state):
            return params

    optimizer = as_optimizer(Sampling())
    state = fresh_state(optimizer)
    before = jax.tree.map(np.asarray, state.params)
    moved = jax.tree.map(lambda array: array + 1, state.params)
    grads = jax.grad(lambda params: regression(params, 0, batches[0], None)[0])(moved)

    state, _ = compile_step(DescentConfig(), regression, optimizer, max_grad_norm=None, micro_batches=1)(
        state, batches[0]
    )

    np.testing.assert_allclose(state.params["w"], before["w"] + grads["w"], rtol=1e-6)


def test_weight_decay_of_adamw_leaves_biases_alone():
    optimizer = adamw(AdamWConfig(learning_rate=0.1, weight_decay=0.5), total_steps=1, num_data=1)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)

    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5 * np.ones((2, 2)))
    assert not np.any(updates["bias"])


SHAPES = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - 0.9 * done,
    "cosine": lambda done: 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2,
}


@pytest.mark.parametrize("name", SHAPES)
def test_schedule_rises_then_falls_to_its_end(name):
    config = SGDConfig(learning_rate=2.0, schedule=name, warmup_steps=10, end_factor=0.1)
    schedule = learning_rate(config, total_steps=110)
    rates = [float(schedule(step)) for step in range(111)]

    assert rates[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
    assert rates[10:] == pytest.approx([2.0 * SHAPES[name](step / 100) for step in range(101)], rel=1e-4)


def test_inverse_square_root_goes_on_from_the_warm_up():
    config = SGDConfig(learning_rate=2.0, schedule="inverse-sqrt", warmup_steps=4)
    schedule = learning_rate(config, total_steps=1000)

    assert float(schedule(3)) == pytest.approx(2.0)
    assert float(schedule(16)) == pytest.approx(2.0 * math.sqrt(4 / 16))


def test_schedule_without_warm_up_starts_at_the_top():
    config = SGDConfig(learning_rate=2.0, schedule="linear")

    assert float(learning_rate(config, total_steps=10)(0)) == pytest.approx(2.0)
    assert float(learning_rate(config, total_steps=10)(10)) == pytest.approx(0.0)


def test_inverse_square_root_may_be_asked_from_the_first_step_on():
    schedule = learning_rate(SGDConfig(learning_rate=2.0, schedule="inverse-sqrt", warmup_steps=4), total_steps=100)

    # a rise of four steps, as `count` may be a plain int before and after it
    assert [float(schedule(step)) for step in range(4)] == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="momentum must be above 0"):
        SGDConfig(nesterov=True)


def test_a_warm_up_that_never_ends_is_a_warning(caplog):
    learning_rate(SGDConfig(warmup_steps=100), total_steps=10)

    assert "optimizer.warmup_steps is 100, and training has 10 steps" in caplog.text
