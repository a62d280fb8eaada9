"""L1 and L2 in the loss: their gradients by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.settings import TrainingConfig
from lmtool.training.penalties import penalised

PARAMS = {"kernel": jnp.asarray([[0.5, -2.0], [0.0, 1.0]]), "bias": jnp.asarray([3.0, -1.0])}


def loss(params, carry, batch, key):
    """Linear in every weight: its gradient is one everywhere."""
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params)), (carry, 1)


def gradient(**settings):
    with_penalty = penalised(loss, TrainingConfig(**settings))
    return jax.value_and_grad(with_penalty, has_aux=True)(PARAMS, (), {}, None)


def test_the_gradient_is_that_of_loss_and_penalties_and_the_value_that_of_the_loss():
    (value, _), grads = gradient(l1=0.1, l2=0.01)

    sign = np.array([[1.0, -1.0], [0.0, 1.0]])
    expected = 1 + 0.1 * sign + 0.01 * np.asarray(PARAMS["kernel"])
    np.testing.assert_allclose(grads["kernel"], expected, rtol=1e-6)
    np.testing.assert_array_equal(grads["bias"], 1.0)
    assert value == 0.5 - 2 + 1 + 3 - 1


def test_without_penalties_the_loss_is_left_alone():
    assert penalised(loss, TrainingConfig()) is loss
