"""TextCNN: the properties of a backbone, and what it is by definition."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.testing import conformance
from lmtool_cnn.config import TextCNNConfig
from lmtool_cnn.textcnn import TextCNN

B, T, E, F = 2, 6, 4, 3


@conformance("model", "textcnn", config={"widths": [2, 3, 5], "channels": 4})
def test_textcnn_has_every_property_of_a_backbone(check):
    check()


def initialised(widths, time=T):
    model = TextCNN(TextCNNConfig(widths=widths, channels=F))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(B, time, E)), jnp.float32)
    params = jax.jit(lambda key: model.init(key, x, None, (), train=False))(jax.random.key(0))
    bias = jnp.asarray(np.random.default_rng(1).normal(size=len(widths) * F), jnp.float32)
    return model, {"params": {**params["params"], "bias": bias}}, x


def by_definition(params, x, widths):
    """One output at a time; what lies beyond the ends is zero. An even width sees one position more before its own."""
    outputs = []
    for number, width in enumerate(widths):
        kernel = params["params"][f"kernel_{number}"].reshape(width, E, F)
        before = width // 2
        for t in range(x.shape[1]):
            seen = [(t - before + k, k) for k in range(width) if 0 <= t - before + k < x.shape[1]]
            total = sum((x[:, place] @ kernel[k] for place, k in seen), start=jnp.zeros((B, F)))
            outputs.append(jnp.maximum(total + params["params"]["bias"][None, number * F : (number + 1) * F], 0.0))
    stacked = jnp.stack(outputs, axis=1).reshape(B, len(widths), x.shape[1], F)
    return stacked.transpose(0, 2, 1, 3).reshape(B, x.shape[1], len(widths) * F)


@pytest.mark.parametrize(("widths", "time"), [([3, 4, 5], T), ([1, 2], T), ([5], 2)])
def test_output_and_gradients_are_those_of_its_definition(widths, time):
    model, params, x = initialised(widths, time)

    def both(function):
        def loss(params, x):
            h = function(params, x)
            return jnp.sum(jnp.sin(h)), h

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, x)

    (_, mine), my_grads = both(lambda params, x: model.apply(params, x, None, (), train=True)[0])
    (_, expected), grads = both(lambda params, x: by_definition(params, x, widths))

    assert mine.shape == (B, time, model.features) == (B, time, len(widths) * F)
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    for one, other in zip(jax.tree.leaves(my_grads), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_it_is_an_encoder_without_carry():
    model, _, _ = initialised([3])

    assert model.causal is False
    assert model.initial_carry(B, E) == ()
