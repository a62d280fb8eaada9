"""The built-in optimizers by their formulas, and the schedules that wait for validations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lmtool.errors import ConfigError
from lmtool.training.layerwise import Layers, Layerwise
from lmtool.training.plateau import Plateau, with_plateau
from lmtool.training.schedules import learning_rate
from lmtool.training.state import as_optimizer
from lmtool_descent.asgd import ASGD
from lmtool_descent.config import (
    AdafactorConfig,
    AdamWConfig,
    ASGDConfig,
    LionConfig,
    MuonConfig,
    RMSpropConfig,
    ScheduleFreeConfig,
    SGDConfig,
)
from lmtool_descent.muon import muon, orthogonal
from lmtool_descent.optimizers import adafactor, adamw, lion, rmsprop, sgd
from lmtool_descent.schedule_free import ScheduleFree

STEPS = {"total_steps": 10, "num_data": 1}


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def update(optimizer, grads, params):
    """Of the first step."""
    return optimizer.update(grads, optimizer.init(params), params)[0]


def run(optimizer, params, grads):
    """Parameters and state after a step for each gradient."""
    state = optimizer.init(params)
    for grad in grads:
        updates, state = optimizer.update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


# Optimizers -----------------------------------------------------------------------------------------------------------


def test_rmsprop_divides_by_the_root_of_the_mean_square():
    params, (first, second) = {"w": jnp.zeros(3)}, (normal(0, 3), normal(1, 3))
    optimizer = rmsprop(RMSpropConfig(learning_rate=0.5, decay=0.75), **STEPS)

    after, _ = run(optimizer, params, [{"w": first}, {"w": second}])

    # v = ¾ v + ¼ g², from 0 on
    squares = 0.25 * first**2, 0.75 * 0.25 * first**2 + 0.25 * second**2
    expected = -0.5 * (first / np.sqrt(squares[0]) + second / np.sqrt(squares[1]))
    np.testing.assert_allclose(after["w"], expected, rtol=1e-5)


def test_centered_rmsprop_divides_by_the_standard_deviation():
    optimizer = rmsprop(RMSpropConfig(learning_rate=1.0, decay=0.75, centered=True), **STEPS)

    found = update(optimizer, {"w": jnp.full(3, 2.0)}, {"w": jnp.zeros(3)})

    # after one step the mean of g is ¼ · 2 and that of g² is ¼ · 4
    np.testing.assert_allclose(found["w"], -2 / np.sqrt(1 - 0.25), rtol=1e-5)


def test_momentum_of_rmsprop_adds_up_its_updates():
    params, grad = {"w": jnp.zeros(3)}, {"w": jnp.full(3, 2.0)}
    plain, heavy = (rmsprop(RMSpropConfig(learning_rate=1.0, momentum=one), **STEPS) for one in (0.0, 0.5))

    first, second = run(plain, params, [grad])[0]["w"], run(plain, params, [grad, grad])[0]["w"]

    np.testing.assert_allclose(run(heavy, params, [grad, grad])[0]["w"], second + 0.5 * first, rtol=1e-6)


def test_lion_moves_every_weight_by_the_learning_rate_and_shrinks_matrices():
    params = {"kernel": normal(0, 2, 3), "bias": normal(1, 3)}
    grads = {"kernel": normal(2, 2, 3), "bias": normal(3, 3)}
    optimizer = lion(LionConfig(learning_rate=0.5, weight_decay=0.25), **STEPS)

    found = update(optimizer, grads, params)

    np.testing.assert_allclose(found["kernel"], -0.5 * (np.sign(grads["kernel"]) + 0.25 * params["kernel"]), rtol=1e-6)
    np.testing.assert_array_equal(found["bias"], -0.5 * np.sign(grads["bias"]))


def test_moments_of_adafactor_take_a_row_and_a_column_of_a_matrix():
    params = {"kernel": jnp.ones((6, 8)), "narrow": jnp.ones((3, 8)), "bias": jnp.ones(8)}
    optimizer = adafactor(AdafactorConfig(min_size_to_factor=4), **STEPS)

    shapes = sorted(leaf.shape for leaf in jax.tree.leaves(optimizer.init(params)) if leaf.size > 1)

    # of the matrix 6 and 8 sums for its 48 squares; what is too narrow, or a vector, has a square for each weight
    assert shapes == [(3, 8), (6,), (8,), (8,)]


def test_adafactor_moves_a_parameter_by_a_part_of_its_size():
    params, grads = {"w": jnp.full((2, 2), -3.0)}, {"w": jnp.asarray([[1.0, -2.0], [3.0, -4.0]])}
    optimizer = adafactor(AdafactorConfig(learning_rate=0.01), **STEPS)

    # at the first step an update is g / |g|, whose root mean square is 1; the parameter's is 3
    np.testing.assert_allclose(update(optimizer, grads, params)["w"], -0.01 * 3 * np.sign(grads["w"]), rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 6), (4, 10), (10, 4), (3, 2, 5)])
def test_updates_of_muon_are_nearly_orthogonal_and_of_the_size_of_adams(shape):
    found = orthogonal(normal(0, *shape), 5, rms=0.2)

    matrix = np.asarray(found).reshape(-1, shape[-1])
    # an orthogonal [N, M] has the root mean square 1 / sqrt(max(N, M))
    singular = np.linalg.svd(matrix, compute_uv=False) / (0.2 * np.sqrt(max(matrix.shape)))
    assert singular.min() > 0.6
    assert singular.max() < 1.25
    assert found.shape == shape
    assert np.sqrt(np.mean(matrix**2)) == pytest.approx(0.2, rel=0.3)


def test_muon_keeps_the_directions_of_a_matrix():
    left, right = (np.linalg.qr(np.asarray(normal(seed, 4, 4)))[0] for seed in (0, 1))
    matrix = jnp.asarray(left @ np.diag([4.0, 2.0, 1.0, 0.5]) @ right.T, jnp.float32)

    found = left.T @ np.asarray(orthogonal(matrix, 5, rms=0.5)) @ right  # 0.5 · sqrt(4) = 1

    assert np.abs(found - np.diag(np.diag(found))).max() < 1e-4
    assert np.all(np.abs(np.diag(found) - 1) < 0.35)


def test_muon_leaves_to_adamw_what_is_no_matrix_of_the_backbone():
    params = {
        "params": {
            "embedding": normal(0, 4, 3),
            "backbone": {"layer_0": {"kernel": normal(1, 3, 3), "bias": normal(2, 3)}, "layer_1": normal(3, 3, 3)},
        }
    }
    grads = jax.tree.map(lambda leaf: leaf + 1, params)
    settings = {"learning_rate": 0.1, "weight_decay": 0.01}

    mixed = update(muon(MuonConfig(adamw_for=["backbone.layer_1"], **settings), **STEPS), grads, params)["params"]
    adams = update(adamw(AdamWConfig(**settings), **STEPS), grads, params)["params"]

    np.testing.assert_array_equal(mixed["embedding"], adams["embedding"])
    np.testing.assert_array_equal(mixed["backbone"]["layer_0"]["bias"], adams["backbone"]["layer_0"]["bias"])
    np.testing.assert_array_equal(mixed["backbone"]["layer_1"], adams["backbone"]["layer_1"])
    kernel, grad = params["params"]["backbone"]["layer_0"]["kernel"], grads["params"]["backbone"]["layer_0"]["kernel"]
    expected = -0.1 * (orthogonal(grad, 5, 0.2) + 0.01 * kernel)
    np.testing.assert_allclose(mixed["backbone"]["layer_0"]["kernel"], expected, rtol=1e-4, atol=1e-6)


# Weight decay ---------------------------------------------------------------------------------------------------------

DECAYING = {
    "sgd": (sgd, SGDConfig),
    "asgd": (ASGD, ASGDConfig),
    "adamw": (adamw, AdamWConfig),
    "rmsprop": (rmsprop, RMSpropConfig),
    "adafactor": (adafactor, AdafactorConfig),
    "lion": (lion, LionConfig),
    "muon": (muon, MuonConfig),
    "schedule-free": (ScheduleFree, ScheduleFreeConfig),
}


@pytest.mark.parametrize("name", DECAYING)
def test_weight_decay_shrinks_matrices_by_the_rate_and_leaves_others_and_named_ones_alone(name):
    make, schema = DECAYING[name]
    optimizer = make(schema(learning_rate=0.5, weight_decay=0.25, no_decay=["embedding"]), **STEPS)
    params = {"embedding": jnp.ones((2, 2)), "kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(())}

    params, _ = run(optimizer, params, [jax.tree.map(jnp.zeros_like, params)])

    # of schedule-free, the mean of one weight is that weight, and so is what lies between the two
    np.testing.assert_allclose(params["kernel"], 1 - 0.5 * 0.25, rtol=1e-6)
    assert all(np.all(params[name] == 1) for name in ("embedding", "bias", "scale"))


def test_a_name_that_says_no_parameter_is_an_error():
    optimizer = adamw(AdamWConfig(weight_decay=0.1, no_decay=["embeding"]), **STEPS)

    with pytest.raises(ConfigError, match=r"no_decay: no parameters 'embeding' \(did you mean 'embedding'\?\)"):
        run(optimizer, {"embedding": jnp.ones((2, 2))}, [{"embedding": jnp.ones((2, 2))}])


# Schedule-free --------------------------------------------------------------------------------------------------------


def test_schedule_free_evaluates_the_mean_of_the_last_weights():
    """Defazio et al. 2024, equations 2 to 4, with a constant rate: x is the mean of z₁ … z_t."""
    eta, beta, grads = 0.5, 0.75, [1.0, -2.0, 3.0]
    optimizer = ScheduleFree(ScheduleFreeConfig(learning_rate=eta, b1=beta, base="sgd"), **STEPS)

    params, state = run(optimizer, {"w": jnp.ones(1)}, [{"w": jnp.full(1, grad)} for grad in grads])

    z = 1 - eta * np.cumsum(grads)  # the gradients are given, wherever they are taken
    np.testing.assert_allclose(optimizer.eval_params(params, state)["w"], [z.mean()], rtol=1e-6)
    np.testing.assert_allclose(params["w"], [(1 - beta) * z[-1] + beta * z.mean()], rtol=1e-6)


@pytest.mark.parametrize("base", ["sgd", "adamw"])
def test_schedule_free_is_that_of_optax(base):
    config = ScheduleFreeConfig(learning_rate=0.1, base=base, weight_decay=0.01)
    make = {"sgd": optax.contrib.schedule_free_sgd, "adamw": optax.contrib.schedule_free_adamw}[base]
    theirs = make(0.1, weight_decay=0.01)
    mine = ScheduleFree(config, **STEPS)
    params = {"w": normal(0, 2, 3)}
    grads = [{"w": normal(seed, 2, 3)} for seed in range(1, 6)]

    found, state = run(mine, params, grads)
    expected, their_state = run(as_optimizer(theirs), params, grads)

    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-4)
    np.testing.assert_allclose(
        mine.eval_params(found, state)["w"],
        optax.contrib.schedule_free_eval_params(their_state, expected)["w"],
        rtol=1e-4,
    )


def test_a_step_of_the_warm_up_counts_by_the_square_of_its_rate():
    optimizer = ScheduleFree(ScheduleFreeConfig(learning_rate=1.0, warmup_steps=2, base="sgd"), **STEPS)

    params, state = run(optimizer, {"w": jnp.zeros(1)}, [{"w": -jnp.ones(1)}] * 2)

    # rates ½ and 1 move z to 0.5 and 1.5, with weights ¼ and 1
    assert float(optimizer.eval_params(params, state)["w"][0]) == pytest.approx((0.5 * 0.25 + 1.5 * 1) / 1.25)


def test_schedule_free_does_not_move_what_is_frozen_by_rounding():
    params = {"kernel": normal(0, 3, 3), "bias": normal(1, 3)}
    free = ScheduleFree(ScheduleFreeConfig(weight_decay=0.1), **STEPS)
    depths, frozen = {"kernel": 0, "bias": 0}, {"kernel": True, "bias": False}
    optimizer = Layerwise(free, Layers(depths, frozen))

    after, state = run(optimizer, params, [jax.tree.map(jnp.ones_like, params)] * 5)

    np.testing.assert_array_equal(after["kernel"], params["kernel"])
    np.testing.assert_array_equal(optimizer.eval_params(after, state)["kernel"], params["kernel"])
    assert np.all(after["bias"] < params["bias"])


# Schedules ------------------------------------------------------------------------------------------------------------


def test_wsd_stays_and_falls_over_the_last_part_of_all_steps():
    config = SGDConfig(learning_rate=2.0, schedule="wsd", warmup_steps=10, decay_share=0.25, end_factor=0.1)
    schedule = learning_rate(config, total_steps=80)

    # the last quarter are the steps 60 to 80, over which 2.0 falls to 0.2
    found = [float(schedule(step)) for step in (4, 9, 30, 60, 70, 80)]
    assert found == pytest.approx([1.0, 2.0, 2.0, 2.0, 1.1, 0.2])


def test_wsd_without_room_for_its_share_falls_from_the_end_of_the_warm_up():
    schedule = learning_rate(SGDConfig(learning_rate=1.0, schedule="wsd", warmup_steps=6, decay_share=0.5), 10)

    assert [float(schedule(step)) for step in (5, 6, 8, 10)] == pytest.approx([1.0, 1.0, 0.5, 0.0])


def waiting(**settings):
    config = SGDConfig(learning_rate=1.0, schedule="plateau", **settings)
    return with_plateau(sgd(config, **STEPS), config)


def test_a_plateau_halves_the_rate_after_so_many_validations_without_a_lower_loss():
    optimizer = waiting(plateau_patience=2)
    params = {"w": jnp.zeros(1)}
    state = optimizer.init(params)
    factors = []
    for loss in (5.0, 4.0, 4.0, 3.0, 3.5, 3.0, 3.1, 3.2, 3.3, 2.0):
        state = optimizer.observe(state, loss)
        factors.append(float(optimizer.rate_factor(state)))

    # 4.0 again is one in a row; 3.5 and 3.0 are two after 3.0; so are 3.1 and 3.2, while 3.3 is the first of the next
    assert factors == [1, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert float(update_of(optimizer, state, params)) == -0.25


def update_of(optimizer, state, params):
    """With a gradient of one."""
    return optimizer.update({"w": jnp.ones(1)}, state, params)[0]["w"][0]


def test_a_plateau_never_goes_below_its_least_factor():
    optimizer = waiting(plateau_factor=0.1, end_factor=0.05)
    state = optimizer.init({"w": jnp.zeros(1)})
    for _ in range(5):
        state = optimizer.observe(state, 1.0)

    assert float(optimizer.rate_factor(state)) == pytest.approx(0.05)


def test_averages_are_those_of_the_weights_as_they_move_on_a_plateau():
    config = ASGDConfig(learning_rate=1.0, schedule="plateau", average_from=0)
    optimizer = with_plateau(ASGD(config, **STEPS), config)
    params = {"w": jnp.zeros(1)}
    state = optimizer.init(params)
    for loss in (1.0, 2.0):
        state = optimizer.observe(state, loss)

    updates, state = optimizer.update({"w": -jnp.ones(1)}, state, params)

    # half a unit; the mean of before and after is a quarter
    assert float(updates["w"][0]) == 0.5
    assert float(optimizer.eval_params({"w": updates["w"]}, state)["w"][0]) == 0.25


def test_other_schedules_need_no_plateau():
    config = SGDConfig(schedule="cosine")

    assert not isinstance(with_plateau(sgd(config, **STEPS), config), Plateau)
