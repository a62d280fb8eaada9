"""The lean cross entropy: the textbook's value and gradient, however the rows are cut."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.tasks import softmax

N, V, E = 10, 7, 4


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    h, embedding, bias = (rng.normal(size=shape).astype("f4") for shape in ((N, E), (V, E), (V,)))
    weights = np.asarray([0, 1, 2, 0, 0.5, 1, 1, 1, 1, 0.25], "f4")
    return h, embedding, bias, rng.integers(V, size=N).astype("i4"), weights


def by_the_book(h, embedding, bias, targets, weights):
    log_probs = jax.nn.log_softmax(h @ embedding.T + bias[None])
    return -jnp.sum(log_probs[jnp.arange(N), targets] * weights)


@pytest.mark.parametrize("logits_at_once", [2**23, 5 * V, 3 * V, V])  # 1, 2, 4 (one padded) and 10 pieces
def test_value_and_gradient_are_those_of_the_definition(arrays, monkeypatch, logits_at_once):
    monkeypatch.setattr(softmax, "LOGITS_AT_ONCE", logits_at_once)
    expected = jax.value_and_grad(by_the_book, (0, 1, 2))(*arrays)

    # `jit` of a new function each time: the constant is read when it is traced
    found = jax.jit(jax.value_and_grad(lambda *args: 3 * softmax.weighted_nll(*args), (0, 1, 2)))(*arrays)

    assert found[0] == pytest.approx(3 * float(expected[0]), rel=1e-5)
    for mine, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(mine, 3 * theirs, rtol=1e-4, atol=1e-5)


def test_log_probabilities_row_by_row_have_the_gradient_of_the_definition(arrays, monkeypatch):
    monkeypatch.setattr(softmax, "LOGITS_AT_ONCE", 3 * V)
    *weights, targets, _ = arrays

    def total(log_probs):
        return jnp.sum(jnp.sin(log_probs))  # each with a gradient of its own

    def by_the_book(h, embedding, bias):
        return total(jax.nn.log_softmax(h @ embedding.T + bias[None])[jnp.arange(N), targets])

    expected = jax.value_and_grad(by_the_book, (0, 1, 2))(*weights)
    found = jax.jit(jax.value_and_grad(lambda *args: total(softmax.row_log_probs(*args, targets)), (0, 1, 2)))(*weights)

    assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-5)
    for mine, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_huge_logits_do_not_overflow(arrays):
    h, embedding, bias, targets, weights = arrays
    value, gradient = jax.value_and_grad(softmax.weighted_nll)(h * 1e4, embedding, bias, targets, weights)

    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
