"""The convolutional backbone: its options, and the gradients that are written by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.testing import conformance
from lmtool_cnn.backbone import CNN
from lmtool_cnn.config import CNNConfig
from lmtool_cnn.convolution import (
    convolve_by_matmul,
    convolve_by_xla,
    gated_convolution,
    gradients_by_matmul,
    gradients_by_xla,
)

B, T, C = 2, 7, 4


@conformance("model", "cnn", config={"channels": 12, "num_layers": 2, "bottleneck": 6, "weight_norm": True})
def test_bottlenecks_with_weight_norm_have_every_property_of_a_backbone(check):
    check()


@conformance("model", "cnn", config={"channels": 12, "num_layers": 3, "kernel_size": 4, "dilations": [1, 2],
                                     "block_size": 2, "causal": False})  # fmt: skip
def test_encoder_has_every_property_of_a_backbone(check):
    check()


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def initialised(config, input_size=C):
    cnn, x = CNN(CNNConfig(**config)), normal(B, T, input_size)
    carry = cnn.initial_carry(B, input_size)
    return cnn, jax.jit(lambda key: cnn.init(key, x, None, carry, train=False))(jax.random.key(0)), x, carry


def read(cnn, params, x, carry, mask=None):
    return jax.jit(lambda x: cnn.apply(params, x, mask, carry, train=False))(x)


def by_definition(x, kernel, bias, dilation):
    """One output at a time."""
    size, time = kernel.shape[0], x.shape[1] - (kernel.shape[0] - 1) * dilation
    both = jnp.stack(
        [sum(x[:, t + k * dilation] @ kernel[k] for k in range(size)) + bias[None] for t in range(time)], axis=1
    )
    values, gates = jnp.split(both, 2, axis=-1)
    return values / (1 + jnp.exp(-gates))


@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (4, 2)])
def test_gated_convolution_and_its_gradients_are_those_of_its_definition(size, dilation):
    x, kernel, bias = normal(B, T + (size - 1) * dilation, C), normal(size, C, 6, seed=1), normal(6, seed=2)

    def gradients(function):
        return jax.jit(jax.value_and_grad(lambda *arrays: jnp.sum(jnp.sin(function(*arrays))), (0, 1, 2)))(
            x, kernel, bias
        )

    mine = gradients(lambda *arrays: gated_convolution(*arrays, dilation, jnp.dtype("float32")))
    expected = gradients(lambda *arrays: by_definition(*arrays, dilation))

    for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("size", "dilation", "inputs"), [(1, 1, C), (4, 1, C), (3, 2, C), (3, 1, 5), (1, 1, 1)])
def test_a_convolution_by_matmul_is_that_of_xla(size, dilation, inputs, dtype):
    x = normal(B, T + (size - 1) * dilation, inputs).astype(dtype)
    kernel, gradient = normal(size, inputs, 6, seed=1).astype(dtype), normal(B, T, 6, seed=2).astype(dtype)

    @jax.jit
    def both(convolve, differentiate):
        return convolve(x, kernel, dilation=dilation), *differentiate(x, kernel, gradient, dilation=dilation)

    mine = jax.jit(lambda: both.__wrapped__(convolve_by_matmul, gradients_by_matmul))()
    theirs = jax.jit(lambda: both.__wrapped__(convolve_by_xla, gradients_by_xla))()

    # Factors are the same, products of bfloat16 are exact in float32, and only the order of adding up differs.
    for one, other in zip(mine, theirs, strict=True):
        assert one.dtype == other.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_bfloat16_rounds_factors_and_keeps_the_rest_in_float32():
    cnn, params, x, carry = initialised({"channels": C, "num_layers": 2, "kernel_size": 3})
    x = x.astype(jnp.bfloat16)
    grads = jax.jit(jax.grad(lambda params: cnn.apply(params, x, None, carry, train=True)[0].astype(jnp.float32).sum()))

    h, last_carry = read(cnn, params, x, carry)
    exact, _ = read(cnn, params, x.astype(jnp.float32), carry)

    assert h.dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves((last_carry, grads(params)))} == {"float32"}
    # bfloat16 has 8 bits, so a factor is off by 2^-9 of its size, the result by a little more.
    np.testing.assert_allclose(h.astype(jnp.float32), exact, atol=2**-5)


def test_weight_norm_takes_length_and_direction_apart():
    cnn, params, x, carry = initialised({"channels": C, "num_layers": 1, "weight_norm": True})
    plain = CNN(CNNConfig(channels=C, num_layers=1))
    layer = dict(params["params"]["layer_0"])
    lengths = np.linalg.norm(layer["kernel"], axis=0)
    without = {"params": {"layer_0": {"kernel": layer["kernel"], "bias": layer["bias"]}}}
    at_start, _ = read(cnn, params, x, carry)

    # The outcome depends on a kernel's direction alone; `scale` is the length.
    layer.update(kernel=layer["kernel"] * 3.0, scale=normal(2 * C))
    explicit = {"kernel": layer["kernel"] / (3.0 * lengths)[None] * layer["scale"][None], "bias": layer["bias"]}
    changed, _ = read(cnn, {"params": {"layer_0": layer}}, x, carry)

    np.testing.assert_allclose(at_start, read(plain, without, x, carry)[0], atol=1e-6)
    np.testing.assert_allclose(changed, read(plain, {"params": {"layer_0": explicit}}, x, carry)[0], atol=1e-5)


def test_a_bottleneck_convolves_over_time_in_few_channels():
    _, params, _, carry = initialised({"channels": 8, "num_layers": 1, "kernel_size": 3, "bottleneck": 2}, 8)

    shapes = {name: layer["kernel"].shape for name, layer in params["params"].items()}

    # Inputs of all kernel positions by outputs, which are values and gates.
    assert shapes == {"layer_0_reduce": (8, 4), "layer_0": (3 * 2, 4), "layer_0_expand": (2, 16)}
    assert [before.shape for before in carry] == [(B, 2, 2)]


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "seen"), [(3, 1, [2, 3, 4]), (3, 2, [1, 3, 5]), (4, 1, [1, 2, 3, 4])]
)
def test_an_encoder_sees_both_sides(kernel_size, dilation, seen):
    cnn, params, x, carry = initialised(
        {"channels": C, "num_layers": 1, "kernel_size": kernel_size, "dilations": [dilation], "causal": False}
    )
    at_3 = jax.grad(lambda x: jnp.sum(cnn.apply(params, x, None, carry, train=False)[0][:, 3]))

    assert np.flatnonzero(np.abs(jax.jit(at_3)(x)).sum(axis=(0, 2))).tolist() == seen
    assert cnn.causal is False
    assert carry == ()
