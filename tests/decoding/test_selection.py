"""The best continuations are those of a stable sort."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.decoding.selection import CHUNK, best, log_softmax


@pytest.mark.parametrize(
    ("width", "vocab", "count"), [(5, 10 * CHUNK, 5), (3, 10 * CHUNK + 7, 4), (2, 3, 4), (1, 999, 1)]
)
def test_the_best_scores_and_their_places_with_ties_in_order(width: int, vocab: int, count: int):
    rng = np.random.default_rng(0)
    # few different values, so that most are equal to many others; some impossible
    scores = rng.integers(0, 4, (6, width, vocab)).astype(np.float32)
    scores[scores == 3] = np.where(rng.random((scores == 3).sum()) < 0.01, 3.0, -np.inf)

    values, places = best(jnp.asarray(scores), count)

    flat = scores.reshape(6, -1)
    expected = np.argsort(-flat, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(flat, expected, axis=1))


def test_places_are_those_of_tokens_even_where_nothing_is_possible():
    scores = jnp.full((1, 2, 5 * CHUNK + 1), -jnp.inf).at[0, 1, 300].set(-1.0)

    values, places = best(scores, 2)

    assert values.tolist() == [[-1.0, -jnp.inf]]
    assert places[0, 0] == 5 * CHUNK + 1 + 300
    assert 0 <= places[0, 1] < 2 * (5 * CHUNK + 1)


def test_log_softmax_is_that_of_jax():
    logits = jnp.asarray(np.random.default_rng(1).normal(scale=30, size=(3, 500)).astype(np.float32))

    np.testing.assert_allclose(log_softmax(logits), jax.nn.log_softmax(logits), rtol=1e-6, atol=1e-6)
    gradients = [jax.grad(lambda x, f=f: f(x)[:, 7].sum())(logits) for f in (log_softmax, jax.nn.log_softmax)]
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)
