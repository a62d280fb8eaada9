"""Layer-wise learning rates, gradual unfreezing and frozen parameters."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

from lmtool.config import TrainingConfig
from lmtool.errors import ConfigError, Interrupted
from lmtool.tasks.depths import param_depths
from lmtool.training.averaging import ExponentialAverage
from lmtool.training.layerwise import Layers, Layerwise, frozen_params, plan_layers
from lmtool.training.names import factors_of
from lmtool.training.state import as_optimizer
from lmtool_descent.asgd import ASGD
from lmtool_descent.config import ASGDConfig

PARAMS = {
    "params": {
        "embedding": jnp.ones((3, 2)),
        "backbone": {"layer_0_bias": jnp.ones(2), "layer_1": {"kernel": jnp.ones((2, 2))}},
        "head": {"bias": jnp.ones(2)},
    }
}
"""Depths 0, 1, 2 and 3, all of them ones."""


def layers(*, freeze=(), **choices):
    return Layers(param_depths(PARAMS), frozen_params(PARAMS, freeze), **choices)


def moved(optimizer, steps, *, evaluated=False):
    """How far below one each group lies after steps with a gradient of ones: from the embedding to the head."""
    params, state = PARAMS, optimizer.init(PARAMS)
    update = jax.jit(lambda state, params: optimizer.update(jax.tree.map(jnp.ones_like, params), state, params))
    for _ in range(steps):
        updates, state = update(state, params)
        params = optax.apply_updates(params, updates)
    after = optimizer.eval_params(params, state) if evaluated else params
    after = after["params"]
    leaves = [after["embedding"], *jax.tree.leaves(after["backbone"]), after["head"]["bias"]]
    return [1 - float(leaf.ravel()[0]) for leaf in leaves]


# Depths ---------------------------------------------------------------------------------------------------------------


def test_depths_go_from_the_embedding_over_the_layers_to_the_head():
    assert param_depths(PARAMS) == {
        "params": {
            "embedding": 0,
            "backbone": {"layer_0_bias": 1, "layer_1": {"kernel": 2}},
            "head": {"bias": 3},
        }
    }


def test_layers_are_told_by_the_number_in_the_first_name():
    backbone = {"input": {"kernel": 0}, "Dense_2": {"kernel_9": 0}, "Dense_10": {"bias": 0}}
    depths = param_depths({"params": {"backbone": backbone, "head": 0, "embedding": 0}})

    # what has no number lies at the input; numbers are compared as such, and those between may be missing
    assert depths["params"] == {
        "backbone": {"input": {"kernel": 1}, "Dense_2": {"kernel_9": 1}, "Dense_10": {"bias": 2}},
        "head": 3,
        "embedding": 0,
    }


def test_numbers_of_kernels_side_by_side_are_no_layers():
    depths = param_depths({"params": {"backbone": {"kernel_0": 0, "kernel_1": 0, "bias": 0}, "head": 0}})

    assert depths["params"] == {"backbone": {"kernel_0": 1, "kernel_1": 1, "bias": 1}, "head": 2}


def test_a_backbone_without_numbers_is_one_group_and_there_may_be_none():
    assert param_depths({"params": {"backbone": {"a": 0, "b": 0}, "head": 0}})["params"] == {
        "backbone": {"a": 1, "b": 1},
        "head": 2,
    }
    assert param_depths({"params": {"embedding": 0, "head": 0}})["params"] == {"embedding": 0, "head": 1}


# Updates --------------------------------------------------------------------------------------------------------------


def test_each_layer_learns_at_a_part_of_the_rate_of_the_one_above():
    optimizer = Layerwise(as_optimizer(optax.sgd(0.5)), layers(decay=0.5))

    assert moved(optimizer, 1) == [0.0625, 0.125, 0.25, 0.5]


def test_layers_are_unfrozen_from_the_head_down():
    optimizer = Layerwise(as_optimizer(optax.sgd(0.125)), layers(steps=2))

    # the head moves at steps 0 to 4, the layer below from step 2 on, the one below that at step 4
    assert moved(optimizer, 5) == [0, 0.125, 0.375, 0.625]


def test_what_was_just_unfrozen_moves_like_the_rest():
    """Adam's moments are those of all steps, so a constant gradient gives a step of the learning rate at once."""
    optimizer = Layerwise(as_optimizer(optax.adam(0.125)), layers(steps=3))

    np.testing.assert_allclose(moved(optimizer, 4), [0, 0, 0.125, 0.5], rtol=1e-4)


def test_weight_decay_does_not_move_what_is_frozen():
    optimizer = Layerwise(
        as_optimizer(optax.adamw(0.1, weight_decay=0.5)), layers(freeze=["embedding", "backbone.layer_1"])
    )

    embedding, lower, upper, head = moved(optimizer, 3)

    assert embedding == upper == 0
    assert lower > 0.1
    assert head > 0.1


@pytest.mark.parametrize("average", ["exponential", "asgd"])
def test_averages_are_those_of_the_weights_as_they_move(average):
    choices = layers(decay=0.5, freeze=["backbone.layer_0"])
    if average == "exponential":
        optimizer = ExponentialAverage(Layerwise(as_optimizer(optax.sgd(0.5)), choices), 0.5)
        # 1 step and 2 steps with the weights 1/3 and 2/3
        share = (1 * 1 + 2 * 2) / 3
    else:
        asgd = ASGD(ASGDConfig(learning_rate=0.5, average_from=0), total_steps=2, num_data=1)
        optimizer = Layerwise(asgd, choices)
        share = (0 + 1 + 2) / 3

    found = moved(optimizer, 2, evaluated=True)

    np.testing.assert_allclose(found, [0.0625 * share, 0, 0.25 * share, 0.5 * share], rtol=1e-6)
    assert found[1] == 0


def test_frozen_weights_are_not_sampled_and_waiting_ones_not_yet():
    noisy = as_optimizer(optax.sgd(1.0))
    noisy = SimpleNamespace(
        init=noisy.init,
        update=noisy.update,
        sample_params=lambda params, state, *, key: jax.tree.map(lambda one: one + 1, params),
        eval_params=noisy.eval_params,
    )
    optimizer = Layerwise(noisy, layers(steps=1, freeze=["head"]))
    state = optimizer.init(PARAMS)

    def changed(state):
        drawn = optimizer.sample_params(PARAMS, state, key=jax.random.key(0))
        return [float(leaf.ravel()[0]) for leaf in jax.tree.leaves(drawn)]

    # alphabetically: two layers, embedding, head
    assert changed(state) == [1, 1, 1, 1]
    assert changed(state._replace(step=jnp.asarray(1))) == [1, 2, 1, 1]
    assert changed(state._replace(step=jnp.asarray(3))) == [2, 2, 2, 1]


def test_what_is_frozen_has_no_gradient():
    def loss(params, factor):
        return factor * sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params))

    grads = jax.grad(layers(freeze=["backbone", "head"]).loss(loss))(PARAMS, 2.0)["params"]

    assert float(jnp.max(grads["embedding"])) == 2
    assert max(float(jnp.max(leaf)) for leaf in jax.tree.leaves([grads["backbone"], grads["head"]])) == 0


def test_the_optimizer_shows_through():
    inner = as_optimizer(optax.sgd(1.0))
    inner = SimpleNamespace(
        init=lambda params: jnp.zeros(()), observe=lambda state, value: value, schedule=lambda step: step / 2
    )
    optimizer = Layerwise(inner, layers())

    assert float(optimizer.observe(optimizer.init(PARAMS), 3.5).state) == 3.5
    assert optimizer.schedule(3) == 1.5


def test_named_parameters_learn_at_a_part_of_the_rate():
    rates = {"backbone": 0.5, "backbone.layer_1": 0.25, "head": 0.0}
    frozen = frozen_params(PARAMS, [], rates)
    choices = Layers(param_depths(PARAMS), frozen, factors_of(PARAMS, rates, "training.rates"))

    # the longest name counts, what has none is left alone, and 0 freezes
    assert moved(Layerwise(as_optimizer(optax.sgd(0.5)), choices), 1) == [0.5, 0.25, 0.125, 0]


def test_rates_and_layers_multiply():
    rates = factors_of(PARAMS, {"embedding": 2.0}, "training.rates")

    optimizer = Layerwise(as_optimizer(optax.sgd(0.5)), layers(factors=rates, decay=0.5))

    assert moved(optimizer, 1) == [0.125, 0.125, 0.25, 0.5]


# Names ----------------------------------------------------------------------------------------------------------------


def test_a_group_is_named_by_the_beginning_of_its_path():
    params = {"params": {"embedding_0": 0, "backbone": {"layer_1_bias": 0, "layer_10_bias": 0}, "head": 0}}

    found = frozen_params(params, ["embedding", "backbone.layer_1"])

    assert found["params"] == {
        "embedding_0": True,
        "backbone": {"layer_1_bias": True, "layer_10_bias": False},
        "head": False,
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["embeding"], r"no parameters 'embeding' \(did you mean 'embedding'\?\); there are backbone, embedding, head"),
        (["embedding", "backbone", "head"], "leaves nothing to learn"),
    ],
)
def test_names_that_freeze_nothing_or_all_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        frozen_params(PARAMS, names)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"hed": 0.5}, r"training\.rates: no parameters 'hed' \(did you mean 'head'\?\)"),
        ({"embedding": 0.0, "backbone": 0.0, "head": 0.0}, r"training\.rates = .* leaves nothing to learn"),
    ],
)
def test_rates_of_nothing_or_that_freeze_all_are_refused(rates, message):
    task = SimpleNamespace(init=lambda key: PARAMS, steps_per_epoch=7)

    with pytest.raises(ConfigError, match=message):
        plan_layers(TrainingConfig(rates=rates), task)


def test_a_plan_is_made_only_where_it_is_asked_for():
    task = SimpleNamespace(init=lambda key: PARAMS, steps_per_epoch=7)

    assert plan_layers(TrainingConfig(), task) is None
    assert plan_layers(TrainingConfig(freeze=["head"]), task).frozen["params"]["head"] == {"bias": True}
    assert plan_layers(TrainingConfig(unfreeze_every=2), task).steps == 14
    assert plan_layers(TrainingConfig(rates={"head": 0.5}), task).factors["params"]["head"] == {"bias": 0.5}


def test_depths_are_those_of_the_task_or_go_by_the_usual_names():
    task = SimpleNamespace(init=lambda key: PARAMS, steps_per_epoch=7)
    own = SimpleNamespace(**vars(task), param_depths=lambda params: jax.tree.map(lambda _: 5, params))
    unusual = SimpleNamespace(init=lambda key: {"params": {"a": jnp.ones(2), "b": jnp.ones(2)}}, steps_per_epoch=7)

    assert plan_layers(TrainingConfig(layer_decay=0.5), task).depths == param_depths(PARAMS)
    assert set(jax.tree.leaves(plan_layers(TrainingConfig(layer_decay=0.5), own).depths)) == {5}
    with pytest.raises(ConfigError, match=r"training\.layer_decay has no use: this task has no `embedding`"):
        plan_layers(TrainingConfig(layer_decay=0.5), unusual)


# Runs -----------------------------------------------------------------------------------------------------------------

SETTINGS = (
    "training.layer_decay=0.5",
    "training.freeze=['backbone.layer_0']",
    "training.ema_decay=0.9",
    "task.tied=false",
)


def test_a_run_keeps_what_is_frozen_and_resumes_to_the_same_bits(trainer):
    whole = trainer("whole", *SETTINGS)
    with pytest.raises(Interrupted):
        trainer("again", *SETTINGS, report=trainer.stop_when("validating", 2))
    resumed = trainer("again", *SETTINGS)
    begun = trainer("begun", *SETTINGS, "training.max_steps=1")

    weights, again, first = (load_file(run.path / "model/weights.safetensors") for run in (whole, resumed, begun))
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
    same = {name for name in weights if np.array_equal(weights[name], first[name])}
    assert same == {name for name in weights if name.startswith("backbone.layer_0")}
