"""Noise on weights: normal, the same on any number of devices, and not correlated with itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lmtool_vadg.noise import LARGEST, normal, quantile, words_for

N = 1 << 20


def normal_like(tree, key):
    """As `Guide.sample` draws it."""
    return jax.tree.map(lambda leaf, words: normal(leaf.shape, words), tree, words_for(tree, key))


def drawn(key=0, shape=(1024, 1024)):
    return np.asarray(jax.jit(lambda key: normal_like([jnp.zeros(shape)], key)[0])(jax.random.key(key))).ravel()


def test_moments_are_those_of_a_normal_number():
    # of N numbers: the mean has the deviation 1/√N, z² that of √(2/N), z³ that of √(15/N), z⁴ that of √(96/N)
    z = drawn().astype("f8")

    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs(np.mean(z**power) - moment) < 5 * np.sqrt(variance / N), power


def test_distribution_is_normal_as_far_as_a_million_numbers_tell():
    # Kolmogorov and Smirnov: √N times the largest distance is above 1.95 once in a thousand times.
    assert stats.kstest(drawn(), "norm").statistic < 1.95 / np.sqrt(N)


@pytest.mark.parametrize("far", [2.0, 3.0, 4.0])
def test_tails_are_as_heavy_as_they_must_be(far):
    expected = N * 2 * stats.norm.sf(far)  # 47722, 2831 and 66 numbers; the count's deviation is the root

    assert abs(np.sum(np.abs(drawn()) > far) - expected) < 5 * np.sqrt(expected)


def test_quantiles_are_those_of_the_normal_distribution_to_the_ends():
    """All that the hash can give, every 1,000th and the ends: uniform numbers in steps of 2⁻²³."""
    places = np.r_[np.arange(-(2**23), 2**23, 1000), [-(2**23), -1, 0, 2**23 - 1]] + 0.5
    uniform = (places * 2.0**-23).astype("f4")
    expected = stats.norm.ppf((uniform.astype("f8") + 1) / 2)

    found = np.asarray(jax.jit(quantile)(uniform))

    assert np.all(np.abs(found - expected) <= 1e-5 * np.maximum(1, np.abs(expected)))
    assert np.abs(found).max() == pytest.approx(stats.norm.isf(2.0**-25), rel=1e-5)
    assert np.abs(found).max() < LARGEST


def correlation(one, other):
    return abs(np.mean(one.astype("f8") * other)) * np.sqrt(len(one))


def test_neighbours_keys_and_leaves_are_not_correlated():
    """In units of the deviation that chance gives; the largest of 64 is below 5 but once in 20,000 times."""
    first = drawn(0)
    lags = [correlation(first[:-lag], first[lag:]) for lag in (*range(1, 33), 64, 128, 256, 1000, 1024, 2048, 4096)]
    keys = [correlation(first, drawn(key)) for key in range(1, 9)]
    leaves = jax.jit(lambda key: normal_like([jnp.zeros(N)] * 3, key))(jax.random.key(0))
    between = [correlation(np.asarray(leaves[i]), np.asarray(leaves[j])) for i, j in ((0, 1), (0, 2), (1, 2))]

    assert max(lags) < 5
    assert max(keys) < 5
    assert max(between) < 5


def test_steps_and_parts_of_a_batch_are_not_correlated():
    """Keys as training makes them: folded from the step's number, split, and folded again from the part's."""

    def of_step(step, part):
        key = jax.random.split(jax.random.fold_in(jax.random.key(3), step))[0]
        return normal_like([jnp.zeros(1 << 16)], jax.random.fold_in(key, part))[0]

    numbers = jax.jit(jax.vmap(jax.vmap(of_step, (None, 0)), (0, None)))(jnp.arange(16), jnp.arange(4))
    numbers = np.asarray(numbers).reshape(64, -1)
    correlations = np.abs(numbers @ numbers.T - np.diag(np.sum(numbers**2, 1))) / np.sqrt(1 << 16)

    assert correlations.max() < 5.5  # of 2016 pairs


def test_squares_are_not_correlated_either():
    """Of numbers that are not independent, the signs may not tell."""
    squares = drawn().astype("f8") ** 2 - 1  # of deviation √2

    assert max(correlation(squares[:-lag], squares[lag:]) / 2 for lag in (1, 2, 3, 4, 8, 128, 1024)) < 5


def test_each_bit_of_the_words_changes_half_of_the_numbers_signs():
    words = jnp.asarray([0x12345678, 0x9ABCDEF0], jnp.uint32)
    sign = np.sign(np.asarray(normal((4096,), words)))
    for word in range(2):
        for bit in (0, 1, 15, 31):
            other = normal((4096,), words.at[word].set(words[word] ^ jnp.uint32(1 << bit)))
            share = np.mean(np.sign(np.asarray(other)) != sign)
            assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(4096), (word, bit)


def test_shape_is_only_the_form():
    words = jnp.asarray([1, 2], jnp.uint32)
    flat = normal((24,), words)

    for shape in ((4, 6), (2, 3, 4), (24, 1)):
        assert np.array_equal(np.ravel(normal(shape, words)), flat)
    assert normal((), words) == flat[0]


def test_devices_draw_together_what_one_draws():
    code = """
    import json, jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from lmtool_vadg.noise import normal

    mesh = jax.make_mesh((4,), ("data",))
    words = jnp.asarray([1, 2], jnp.uint32)
    draw = lambda words: normal((64, 33), words)
    one = np.asarray(jax.jit(draw)(words))
    shardings = [NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec())]
    spread = [jax.jit(draw, out_shardings=sharding)(words) for sharding in shardings]
    pieces = [array.addressable_shards[0].data.shape[0] for array in spread]
    print(json.dumps({"pieces": pieces, "same": [bool(np.array_equal(array, one)) for array in spread]}))
    """
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    program = [sys.executable, "-c", textwrap.dedent(code)]
    found = json.loads(subprocess.run(program, env=environment, check=True, stdout=subprocess.PIPE).stdout)

    assert found == {"pieces": [16, 64], "same": [True, True]}
