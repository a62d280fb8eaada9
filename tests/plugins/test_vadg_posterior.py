"""Posteriors that are known: of quadratics exactly, of a logistic regression by Laplace's method and by Monte Carlo."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.training.state import TrainState
from lmtool_descent.config import DescentConfig
from lmtool_descent.step import compile_step
from lmtool_vadg.config import VADGConfig
from lmtool_vadg.optimizer import VADG
from lmtool_vadg.vadg import find_state

COPIES = 1024
"""Of each weight, with noise of their own: what chance does to their mean is a 32nd of what it does to one."""


def learned(loss, params, batch, config, *, steps, num_data, micro_batches=1, max_grad_norm=None):
    """Parameters and curvature, float64, means over the last fifth of the steps of the compiled step."""
    optimizer = VADG(config, total_steps=steps, num_data=num_data)
    step = compile_step(DescentConfig(), loss, optimizer, max_grad_norm=max_grad_norm, micro_batches=micro_batches)
    first = steps - steps // 5

    def add(held, number):
        state, sums = held
        state, _ = step(state, batch(number) if callable(batch) else batch)
        found = (state.params, find_state(state.opt_state).hess)
        sums = jax.tree.map(lambda sum_, one: sum_ + jnp.where(number >= first, one, 0.0), sums, found)
        return (state, sums), None

    @jax.jit
    def run(state):
        sums = jax.tree.map(jnp.zeros_like, (state.params, find_state(state.opt_state).hess))
        return jax.lax.scan(add, (state, sums), jnp.arange(steps))[0][1]

    state = TrainState(params, optimizer.init(params), (), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
    return jax.tree.map(lambda sum_: np.asarray(sum_, "f8") / (steps - first), run(state))


def quadratic(curvatures, centres, params, carry, batch, key):
    """½a(θ − c)², of which each row of the batch says the centre anew: their mean is c."""
    distance = params - (centres + batch["offset"])[:, :, None]
    loss = jnp.mean(jnp.sum(0.5 * curvatures[None, :, None] * distance**2, (1, 2)))
    return loss, (carry, jnp.asarray(len(batch["offset"])))


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_posterior_of_a_quadratic_is_exact_in_several_dimensions(micro_batches):
    """λ times ½a(θ − c)² and a prior of precision λδ: mean ac/(a + δ), precision λ(a + δ)."""
    curvatures, delta = np.asarray([0.5, 2.0, 8.0]), 0.5
    centres = np.full(len(curvatures), 1.5)
    config = VADGConfig(learning_rate=0.02, schedule="linear", ess=100.0, hess_init=1.0, b2=0.9998, weight_decay=delta)
    loss = partial(quadratic, jnp.asarray(curvatures, jnp.float32), jnp.asarray(centres, jnp.float32)[None])
    offset = jnp.asarray([-0.3, 0.3, 0.1, -0.1], jnp.float32)[:, None]
    params = jnp.zeros((1, len(curvatures), COPIES))

    mean, hess = learned(
        loss, params, {"offset": offset}, config, steps=40_000, num_data=1, micro_batches=micro_batches
    )

    np.testing.assert_allclose(mean.mean((0, 2)), curvatures * centres / (curvatures + delta), rtol=0.01)
    np.testing.assert_allclose(hess.mean((0, 2)), curvatures, rtol=0.01)


def test_one_weight_has_the_mean_and_the_precision_of_the_reference():
    # a = 2, c = 1.5, δ = 0.5: 2 · 1.5 / 2.5 = 1.2 and h = 2; without δ in the estimate of h it would be 1.5
    mean, precision = 2 * 1.5 / (2 + 0.5), 2.0

    assert mean == pytest.approx(1.2)
    config = VADGConfig(learning_rate=0.02, schedule="linear", ess=100.0, hess_init=1.0, b2=0.9998, weight_decay=0.5)
    loss = partial(quadratic, jnp.asarray([2.0]), jnp.asarray([[1.5]]))
    found_mean, hess = learned(
        loss, jnp.zeros((1, 1, COPIES)), {"offset": jnp.zeros((1, 1))}, config, steps=40_000, num_data=1
    )

    assert found_mean.mean() == pytest.approx(mean, rel=0.01)
    assert hess.mean() == pytest.approx(precision, rel=0.01)


def test_squared_gradients_settle_where_their_own_equation_says():
    """Without prior, at the optimum: E[λĝ²] = λa²σ² = a²/h, so that h = a; a batch's noise would add to it."""
    config = VADGConfig(
        learning_rate=0.02,
        schedule="linear",
        ess=100.0,
        hess_init=1.0,
        b2=0.9998,
        weight_decay=0.0,
        curvature="squared-gradient",
    )
    loss = partial(quadratic, jnp.asarray([2.0]), jnp.asarray([[1.5]]))
    mean, hess = learned(
        loss, jnp.zeros((1, 1, COPIES)), {"offset": jnp.zeros((1, 1))}, config, steps=40_000, num_data=1
    )

    assert mean.mean() == pytest.approx(1.5, rel=0.01)
    assert hess.mean() == pytest.approx(2.0, rel=0.02)


# Logistic regression --------------------------------------------------------------------------------------------------

N, PRIOR = 200, 1.0
"""Points, and the precision of the prior of each weight."""


@pytest.fixture(scope="module")
def points():
    """Three features without correlation, and labels drawn from a model of known weights."""
    rng = np.random.default_rng(1)
    x, _ = np.linalg.qr(rng.normal(size=(N, 3)))
    x *= np.sqrt(N)  # each of mean square 1
    y = rng.random(N) < 1 / (1 + np.exp(-x @ [0.8, -0.5, 0.2]))
    return x, y.astype("f8")


def negative_log_posterior(weights, x, y):
    logits = x @ weights
    return np.sum(np.logaddexp(0, logits) - y * logits) + 0.5 * PRIOR * np.sum(weights**2)


def laplace(x, y):
    """The posterior's mode, by Newton's method, and the Hessian of its negative logarithm there."""
    weights = np.zeros(3)
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + PRIOR * np.eye(3)
        weights = weights - np.linalg.solve(hessian, x.T @ (p - y) + PRIOR * weights)
    return weights, hessian


def monte_carlo(x, y, chains=200, steps=1000, thrown_away=300):
    """Metropolis's algorithm from the mode: many chains at once, each with normal proposals."""
    rng = np.random.default_rng(2)
    mode, hessian = laplace(x, y)
    spread = np.linalg.cholesky(np.linalg.inv(hessian)) * 2.4 / np.sqrt(3)
    here = np.repeat(mode[:, None], chains, 1)

    def energy(weights):
        logits = x @ weights
        return np.sum(np.logaddexp(0, logits) - y[:, None] * logits, 0) + 0.5 * PRIOR * np.sum(weights**2, 0)

    level, kept = energy(here), []
    for step in range(steps):
        there = here + spread @ rng.normal(size=here.shape)
        other = energy(there)
        taken = np.log(rng.random(chains)) < level - other
        here, level = np.where(taken, there, here), np.where(taken, other, level)
        if step >= thrown_away and step % 5 == 0:
            kept.append(here.copy())
    samples = np.concatenate(kept, 1)
    return samples.mean(1), samples.std(1)


def test_posterior_of_a_logistic_regression_is_that_of_monte_carlo_and_near_that_of_laplace(points):
    """Its features have no correlation, so that a Gaussian of independent weights is nearly the posterior."""
    x, y = points
    mean, deviation = monte_carlo(x, y)
    mode, hessian = laplace(x, y)
    config = VADGConfig(
        learning_rate=0.3, schedule="linear", hess_init=0.2, b2=0.9995, weight_decay=PRIOR / N, ess=None
    )
    inputs, labels = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)

    def loss(params, carry, batch, key):
        # [50, 3, copies]: every copy of the weights sees the same points
        logits = jnp.sum(batch["x"][:, :, None] * params, 1)
        nll = jnp.logaddexp(jnp.zeros_like(logits), logits) - batch["y"][:, None] * logits
        return jnp.sum(jnp.mean(nll, 0)), (carry, jnp.asarray(50))

    def batch(number):
        rows = jax.random.randint(jax.random.key(number), (50,), 0, N)
        return {"x": inputs[rows], "y": labels[rows]}

    found, hess = learned(loss, jnp.zeros((1, 3, 16)), batch, config, steps=15_000, num_data=N)
    found, hess = found.mean((0, 2)), hess.mean((0, 2))

    # Of 200 chains and 700 steps each, one in ten worth a sample, means are known to 1/100 of the deviation.
    np.testing.assert_array_less(np.abs(found - mean), 0.1 * deviation)
    np.testing.assert_allclose(1 / np.sqrt(N * (hess + PRIOR / N)), deviation, rtol=0.05)
    np.testing.assert_array_less(np.abs(found - mode), 0.3 * deviation)
    np.testing.assert_allclose(1 / np.sqrt(N * (hess + PRIOR / N)), 1 / np.sqrt(np.diag(hessian)), rtol=0.1)
