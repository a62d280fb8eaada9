"""A batch in parts: the gradient, loss and carry of the whole."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.errors import ConfigError
from lmtool.settings import TrainingConfig
from lmtool.training.state import TrainState
from lmtool_descent.config import DescentConfig, SGDConfig
from lmtool_descent.micro_batches import in_parts
from lmtool_descent.optimizers import sgd
from lmtool_descent.step import compile_step


def masked_loss(params, carry, batch, key):
    """Mean squared error over unmasked targets; the carry [B, 1] takes up each row's inputs."""
    x, y, mask = batch["x"], batch["y"], batch["mask"]
    number = mask.sum()
    error = jnp.where(mask, (x + carry) * params["w"][None, :] - y, 0.0)
    mean = jnp.sum(error**2) / jnp.maximum(number, 1).astype(jnp.float32)
    return mean, (carry + x.sum(1, keepdims=True), number)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    mask = rng.random((6, 4)) < 0.5
    mask[0] = False  # a row, and with one row a part, without targets
    return {"x": rng.normal(size=(6, 4)).astype("f4"), "y": rng.normal(size=(6, 4)).astype("f4"), "mask": mask}


PARAMS = {"w": jnp.asarray([0.1, -0.2, 0.3, 0.4], jnp.float32)}
CARRY = jnp.arange(6, dtype=jnp.float32)[:, None]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_parts_give_what_the_whole_gives(batch, count):
    gradient = jax.value_and_grad(masked_loss, has_aux=True)
    expected = jax.jit(gradient)(PARAMS, CARRY, batch, jax.random.key(0))

    found = jax.jit(in_parts(gradient, count))(PARAMS, CARRY, batch, jax.random.key(0))

    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_batch_without_targets_has_no_loss_and_no_gradient(batch):
    batch["mask"][:] = False
    gradient = in_parts(jax.value_and_grad(masked_loss, has_aux=True), 2)

    (value, (_, number)), grads = gradient(PARAMS, CARRY, batch, jax.random.key(0))

    assert (float(value), int(number)) == (0, 0)
    assert not np.any(grads["w"])


def test_each_part_draws_for_itself():
    def noise(params, carry, batch, key):
        return jax.random.normal(key) * params["w"], ((), jnp.asarray(1))

    gradient = in_parts(jax.value_and_grad(noise, has_aux=True), 2)
    _, grads = gradient({"w": jnp.ones(())}, (), {"x": jnp.zeros((2, 1))}, jax.random.key(0))

    drawn = [float(jax.random.normal(jax.random.fold_in(jax.random.key(0), part))) for part in range(2)]
    assert drawn[0] != drawn[1]
    assert float(grads["w"]) == pytest.approx(sum(drawn) / 2)


def test_the_step_takes_its_parts_one_after_another_and_learns_the_same(batch):
    optimizer = sgd(SGDConfig(learning_rate=0.1), total_steps=2, num_data=1)
    ends = []
    for count in (1, 3):
        step = compile_step(DescentConfig(), masked_loss, optimizer, max_grad_norm=0.5, micro_batches=count)
        params = jax.tree.map(jnp.copy, PARAMS)
        zero = jnp.zeros((), jnp.int32)
        state = TrainState(params, optimizer.init(params), jnp.copy(CARRY), zero, jnp.copy(zero))
        for _ in range(2):
            state, metrics = step(state, batch)
        ends.append((state.params["w"], state.carry, *metrics))

    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_parts_must_divide_the_batch():
    with pytest.raises(ValueError, match=r"micro_batches must divide batch_size \(=20\), got 3"):
        TrainingConfig(micro_batches=3)


def test_the_error_names_the_setting(registry_error):
    assert "training" in registry_error
    assert "micro_batches must divide batch_size (=20), got 3" in registry_error


@pytest.fixture
def registry_error():
    from lmtool.config import load_config
    from lmtool.registry import Registry

    with pytest.raises(ConfigError) as caught:
        load_config(None, Registry(third_party=False), flags={"model.name": "lstm"},
                    overrides=["training.micro_batches=3"])  # fmt: skip
    return caught.value.message
