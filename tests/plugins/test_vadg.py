"""The equations by hand, the plain gradient step as their limit, and the Gaussian anywhere in an optax state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import ValidationError

from lmtool.testing import conformance
from lmtool.training.state import TrainState
from lmtool_descent.config import DescentConfig, SGDConfig
from lmtool_descent.optimizers import sgd
from lmtool_descent.step import compile_step
from lmtool_vadg.config import VADGConfig
from lmtool_vadg.optimizer import VADG
from lmtool_vadg.vadg import Guide, VadgState, find_state, scale_by_vadg


@conformance("optimizer", "vadg", config={"learning_rate": 0.1})
def test_vadg_has_every_property_of_an_optimizer(check):
    check()


@conformance(
    "optimizer",
    "vadg",
    config={"learning_rate": 0.1, "curvature": "squared-gradient", "clip_radius": 10.0, "schedule": "cosine"},
)
def test_vadg_by_squared_gradients_has_every_property_of_an_optimizer(check):
    check()


@conformance("optimizer", "vadg", config={"learning_rate": 0.05, "method": "vadam", "b2": 0.99, "hess_init": 0.5})
def test_vadam_has_every_property_of_an_optimizer(check):
    check()


# The equations ------------------------------------------------------------------------------------------------------

LAMBDA, H0, B1, B2, DELTA, RATE = 50.0, 0.3, 0.8, 0.9, 0.02, 0.1
PARAMS = {"kernel": jnp.asarray([[0.5, -1.0], [2.0, 0.1]], jnp.float32), "bias": jnp.asarray([0.3, -0.2], jnp.float32)}


def make(**settings):
    values = {"learning_rate": RATE, "ess": LAMBDA, "hess_init": H0, "b1": B1, "b2": B2, "weight_decay": DELTA}
    return VADG(VADGConfig(**{**values, **settings}), total_steps=10, num_data=7)


def some_gradients(count=4):
    keys = jax.random.split(jax.random.key(9), count)
    return [jax.tree.map(lambda leaf, key=key: jax.random.normal(key, leaf.shape), PARAMS) for key in keys]


def trajectory(optimizer, gradients):
    """Parameters and states after each of the steps, and the samples at which the gradients are said to be taken."""
    params, state, found = PARAMS, optimizer.init(PARAMS), []
    for number, grads in enumerate(gradients):
        weights = optimizer.sample_params(params, state, key=jax.random.key(number))
        curvature = optimizer.curvature(grads, params, weights, state)
        updates, state = optimizer.update(grads, state, params, curvature=curvature)
        params = optax.apply_updates(params, updates)
        found.append((weights, params, find_state(state)))
    return found


def test_ivon_takes_the_steps_of_the_paper():
    gradients = some_gradients()
    found = trajectory(make(), gradients)

    for name in PARAMS:
        m, g, h = np.asarray(PARAMS[name], "f8"), 0.0, H0
        for t, (grads, (weights, params, state)) in enumerate(zip(gradients, found, strict=True), start=1):
            grad, sigma = np.asarray(grads[name], "f8"), 1 / np.sqrt(LAMBDA * (h + DELTA))
            noise = np.asarray(weights[name], "f8") - m
            assert np.all(np.abs(noise / sigma) < 4)
            curvature = noise * grad / sigma**2  # (7) with the precision 1/σ²
            g = B1 * g + (1 - B1) * grad
            h = B2 * h + (1 - B2) * curvature + 0.5 * (1 - B2) ** 2 * (h - curvature) ** 2 / (h + DELTA)
            m = m - RATE * (H0 + DELTA) * (g / (1 - B1**t) + DELTA * m) / (h + DELTA)
            np.testing.assert_allclose(state.hess[name], h, rtol=1e-4)
            np.testing.assert_allclose(state.momentum[name], g, rtol=1e-4)
            np.testing.assert_allclose(params[name], m, rtol=1e-4)


def test_vadam_divides_by_the_root_and_samples_without():
    gradients = some_gradients()
    found = trajectory(make(method="vadam", rescale_lr=False), gradients)

    for name in PARAMS:
        m, u, v = np.asarray(PARAMS[name], "f8"), 0.0, H0
        for t, (grads, (_, params, state)) in enumerate(zip(gradients, found, strict=True), start=1):
            grad = np.asarray(grads[name], "f8")
            u, v = B1 * u + (1 - B1) * grad, B2 * v + (1 - B2) * grad**2
            m = m - RATE * (u / (1 - B1**t) + DELTA * m) / (np.sqrt(v) + DELTA)
            np.testing.assert_allclose(state.hess[name], v, rtol=1e-4)
            np.testing.assert_allclose(params[name], m, rtol=1e-4)

    vadam, state = make(method="vadam"), make(method="vadam").init(PARAMS)
    np.testing.assert_allclose(vadam.posterior(PARAMS, state)["bias"], 1 / np.sqrt(LAMBDA * (H0 + DELTA)), rtol=1e-6)


def test_squared_gradients_count_as_often_as_there_are_data():
    optimizer = make(curvature="squared-gradient")
    grads = some_gradients(1)[0]

    curvature = optimizer.curvature(grads, PARAMS, PARAMS, optimizer.init(PARAMS))

    np.testing.assert_allclose(curvature["bias"], LAMBDA * np.asarray(grads["bias"]) ** 2, rtol=1e-6)


def test_precision_is_at_least_halved_at_worst_never_negative():
    # (h' + δ) / (h + δ) = 1 + r + r²/2 with r = (1 − β2)(ĥ − h)/(h + δ), which is least, 1/2, at r = −1
    guide = Guide(ess=LAMBDA, weight_decay=DELTA)
    transformation = scale_by_vadg(guide, hess_init=H0, b2=B2)
    found = {"x": jnp.linspace(-200.0, 200.0, 4001)}
    params = jax.tree.map(jnp.zeros_like, found)

    _, state = transformation.update(params, transformation.init(params), params, curvature=found)

    ratio = (np.asarray(state.hess["x"]) + DELTA) / (H0 + DELTA)
    assert ratio.min() == pytest.approx(0.5, abs=1e-3)
    assert np.argmin(ratio) == np.argmin(np.abs(np.asarray(found["x"]) - (H0 - (H0 + DELTA) / (1 - B2))))


def test_a_weight_that_was_not_moved_says_nothing_of_its_curvature():
    optimizer = make()
    state = optimizer.init(PARAMS)
    weights = PARAMS | {"kernel": PARAMS["kernel"] + 0.01}

    curvature = optimizer.curvature(some_gradients(1)[0], PARAMS, weights, state)

    assert np.all(np.asarray(curvature["bias"]) == np.float32(H0))
    assert np.all(np.asarray(curvature["kernel"]) != np.float32(H0))


def test_a_larger_deviation_is_divided_out_of_the_curvature():
    """Price: E[nĝ] is the curvature times the variance of n, whatever that is; here ĝ = n times a curvature of 3."""
    for noise in (0.5, 2.0):
        optimizer = make(noise=noise)
        state = optimizer.init({"x": jnp.zeros(1 << 16)})
        mean = {"x": jnp.zeros(1 << 16)}
        weights = optimizer.sample_params(mean, state, key=jax.random.key(0))
        curvature = optimizer.curvature({"x": 3 * weights["x"]}, mean, weights, state)

        # 3z², of deviation 3√2
        assert np.mean(curvature["x"]) == pytest.approx(3, abs=5 * 3 * np.sqrt(2 / (1 << 16)))
        deviation = optimizer.posterior(mean, state)["x"][0]
        assert float(deviation) == pytest.approx(noise / np.sqrt(LAMBDA * (H0 + DELTA)))


def test_the_effective_sample_size_is_that_of_the_training_data_if_nobody_says_otherwise():
    assert make(ess=None).guide.ess == 7  # `num_data` of `make`
    assert make().guide.ess == LAMBDA


def test_the_radius_bounds_what_a_weight_moves():
    # η(h₀ + δ)ξ, whatever the gradient
    optimizer = make(clip_radius=2.0)
    params, state = PARAMS, optimizer.init(PARAMS)
    grads = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 1e6), params)

    updates, _ = optimizer.update(grads, state, params, curvature=find_state(state).hess)

    np.testing.assert_allclose(updates["bias"], -RATE * (H0 + DELTA) * 2.0, rtol=1e-6)


# The plain gradient step ---------------------------------------------------------------------------------------------


def network(params, carry, batch, key):
    """A small network with an activation, so that gradients differ from step to step."""
    hidden = jnp.tanh(batch["x"] @ params["in"] + params["bias"][None, :])
    error = hidden @ params["out"] - batch["y"]
    return jnp.mean(error**2), (carry, jnp.asarray(len(batch["y"])))


@pytest.mark.parametrize("method", ["ivon", "vadam"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_without_noise_momentum_and_prior_the_step_is_the_plain_gradients_to_the_bit(method, micro_batches):
    rng = np.random.default_rng(0)
    params = {"in": rng.normal(size=(3, 8)), "bias": rng.normal(size=8), "out": rng.normal(size=8)}
    batches = [{"x": rng.normal(size=(6, 3)).astype("f4"), "y": rng.normal(size=6).astype("f4")} for _ in range(20)]
    config = VADGConfig(
        learning_rate=0.05, method=method, noise=0.0, b1=0.0, b2=1.0, weight_decay=0.0, schedule="cosine"
    )
    # In parts a variational optimizer bounds each part's gradient, `sgd` that of the whole.
    max_grad_norm = 1.0 if micro_batches == 1 else None
    ends = []
    for optimizer in (
        VADG(config, total_steps=20, num_data=6),
        sgd(SGDConfig(learning_rate=0.05, schedule="cosine"), total_steps=20, num_data=6),
    ):
        bounds = {"max_grad_norm": max_grad_norm, "micro_batches": micro_batches}
        step = compile_step(DescentConfig(), network, optimizer, **bounds)
        start = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), params)
        state = TrainState(start, optimizer.init(start), (), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        for batch in batches:
            state, _ = step(state, batch)
        ends.append(jax.tree.map(np.asarray, state.params))

    assert not np.array_equal(ends[0]["in"], params["in"].astype("f4"))
    for name in params:
        assert np.array_equal(ends[0][name], ends[1][name]), name


# In optax -------------------------------------------------------------------------------------------------------------


def test_the_guide_finds_its_state_wherever_optax_put_it():
    guide = Guide(ess=LAMBDA, weight_decay=DELTA)
    plain = scale_by_vadg(guide, hess_init=H0)
    chained = optax.chain(optax.clip_by_global_norm(1e9), plain, optax.scale_by_learning_rate(RATE))
    injected = optax.inject_hyperparams(lambda rate: optax.chain(plain, optax.scale(rate)))(rate=RATE)

    key = jax.random.key(0)
    expected = guide.sample(PARAMS, plain.init(PARAMS), key=key)
    for transformation in (chained, injected):
        state = transformation.init(PARAMS)
        for mine, theirs in zip(
            jax.tree.leaves(guide.sample(PARAMS, state, key=key)), jax.tree.leaves(expected), strict=True
        ):
            assert np.array_equal(mine, theirs)

    with pytest.raises(ValueError, match="one `VadgState`, it holds 0"):
        guide.sample(PARAMS, optax.sgd(0.1).init(PARAMS), key=key)
    with pytest.raises(ValueError, match="it holds 2"):
        find_state(optax.chain(plain, plain).init(PARAMS))


def test_a_chain_in_optax_does_as_the_component():
    guide = Guide(ess=LAMBDA, weight_decay=DELTA)
    transformation = optax.chain(scale_by_vadg(guide, hess_init=H0, b1=B1, b2=B2), optax.scale_by_learning_rate(RATE))
    gradients = some_gradients()
    expected = trajectory(make(), gradients)

    params, state = PARAMS, transformation.init(PARAMS)
    for number, (grads, (_, theirs, _)) in enumerate(zip(gradients, expected, strict=True)):
        weights = guide.sample(params, state, key=jax.random.key(number))
        curvature = guide.curvature(grads, params, weights, state)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = transformation.update(grads, state, params, curvature=curvature)
        params = optax.apply_updates(params, updates)
        assert all(np.array_equal(params[name], theirs[name]) for name in params)


def test_parameters_that_are_masked_are_known_for_sure():
    guide = Guide(ess=LAMBDA, weight_decay=DELTA)
    transformation = optax.masked(scale_by_vadg(guide, hess_init=H0), {"kernel": True, "bias": False})
    state, grads = transformation.init(PARAMS), some_gradients(1)[0]

    weights = guide.sample(PARAMS, state, key=jax.random.key(0))
    curvature = guide.curvature(grads, PARAMS, weights, state)
    updates, _ = transformation.update(grads, state, PARAMS, curvature=curvature)

    assert np.array_equal(weights["bias"], PARAMS["bias"])
    assert not np.any(guide.deviation(PARAMS, state)["bias"])
    assert np.all(guide.deviation(PARAMS, state)["kernel"] > 0)
    assert np.array_equal(updates["bias"], grads["bias"])  # as `optax.masked` leaves it
    assert np.all(np.isfinite(updates["kernel"]))


def test_state_is_float32_whatever_the_parameters_are():
    params = {"x": jnp.ones(4, jnp.bfloat16)}
    optimizer = make()
    state = optimizer.init(params)
    weights = optimizer.sample_params(params, state, key=jax.random.key(0))
    curvature = optimizer.curvature(weights, params, weights, state)
    updates, after = optimizer.update(weights, state, params, curvature=curvature)

    assert weights["x"].dtype == updates["x"].dtype == jnp.bfloat16
    for one in (state, after):
        assert isinstance(find_state(one), VadgState)
        assert find_state(one).hess["x"].dtype == find_state(one).momentum["x"].dtype == jnp.float32


def test_parameters_must_be_given():
    optimizer = make()
    state = optimizer.init(PARAMS)

    with pytest.raises(ValueError, match="`params` must be given"):
        optimizer.update(PARAMS, state, curvature=PARAMS)


def test_vadam_has_no_other_curvature_than_squared_gradients():
    VADGConfig(method="vadam", curvature="squared-gradient")
    with pytest.raises(ValidationError, match="leave curvature out, or take method = ivon"):
        VADGConfig(method="vadam", curvature="price")
