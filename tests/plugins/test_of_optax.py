"""Any transformation of optax by name: its arguments as settings, and what it then does."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lmtool.config import choose, load_config
from lmtool.config_docs import json_schema
from lmtool.errors import ConfigError, PluginError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.training.state import as_optimizer
from lmtool_descent.of_optax import OPTAX, UNFIT, _functions, transformation

REGISTRY = Registry(third_party=False)
PARAMS = {"kernel": jnp.full((2, 3), 0.5), "bias": jnp.full(3, -0.25)}
GRADS = {"kernel": jnp.asarray([[1.0, -2.0, 3.0], [0.5, -0.25, 1.5]]), "bias": jnp.asarray([1.0, 2.0, -1.0])}


def chosen(name, **settings):
    return choose(Raw({"optimizer": {"name": f"optax:{name}", **settings}}), "optimizer", REGISTRY)


def first_update(name, **settings):
    choice = chosen(name, **settings)
    optimizer = choice.load()(choice.config, total_steps=10, num_data=1)
    return optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)[0]


def assert_same(found, transformation):
    optimizer = as_optimizer(transformation)
    expected, _ = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)
    for name in PARAMS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "made"),
    [
        ("novograd", {"b1": 0.8}, lambda rate: optax.novograd(rate, b1=0.8)),
        ("adagrad", {}, optax.adagrad),
        ("prodigy", {"betas": [0.8, 0.99]}, lambda rate: optax.contrib.prodigy(rate, betas=(0.8, 0.99))),
    ],
)
def test_it_is_the_function_with_these_arguments(name, settings, made):
    assert_same(first_update(name, learning_rate=0.1, **settings), made(0.1))


def test_the_learning_rate_follows_our_schedules():
    found = first_update("lamb", learning_rate=0.1, schedule="cosine", warmup_steps=4)

    assert_same(found, optax.lamb(0.1 / 4))


def test_what_has_no_learning_rate_is_multiplied_by_it():
    assert_same(first_update("scale_by_yogi", learning_rate=0.1), optax.chain(optax.scale_by_yogi(), optax.scale(-0.1)))


def test_weight_decay_leaves_biases_and_named_parameters_alone_where_optax_lets_one_say_which():
    with_decay, named = (
        first_update("adamw", learning_rate=0.1, weight_decay=0.5, no_decay=names) for names in ([], ["kernel"])
    )
    without = first_update("adamw", learning_rate=0.1, weight_decay=0.0)

    np.testing.assert_allclose(with_decay["kernel"], without["kernel"] - 0.1 * 0.5 * PARAMS["kernel"], rtol=1e-5)
    np.testing.assert_array_equal(with_decay["bias"], without["bias"])
    np.testing.assert_array_equal(named["kernel"], without["kernel"])


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("novograd", {}, ConfigError, "optimizer.learning_rate is missing"),
        ("novograd", {"learning_rate": 0.1, "b3": 1.0}, ConfigError, r"unknown key optimizer.b3"),
        ("novograd", {"learning_rate": 0.1, "b1": "high"}, ConfigError, "optimizer.b1 must be a number, got 'high'"),
        ("sgd", {"learning_rate": 0.1, "nesterov": 1}, ConfigError, "optimizer.nesterov must be true or false, got 1"),
        ("prodigy", {"betas": [0.9]}, ConfigError, "optimizer.betas must have at least 2 entries"),
        ("novogard", {}, PluginError, r"optax has no transformation 'novogard' \(did you mean 'novograd'\?\)"),
        ("chain", {}, PluginError, "optax:chain cannot be used: it takes `args`, which a config cannot say"),
        ("masked", {}, PluginError, "optax:masked cannot be used: it takes `inner`, which a config cannot say"),
        ("noisy_sgd", {}, PluginError, "it keeps a random key, which no checkpoint holds"),
        ("lbfgs", {}, PluginError, "it is given the loss as a function at each step"),
        ("apply_updates", {}, PluginError, "optax has no transformation 'apply_updates'"),
        ("_src", {}, PluginError, "optax has no transformation '_src'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(name, settings, error, message):
    with pytest.raises(error, match=message):
        chosen(name, **settings)


def test_an_unknown_argument_is_answered_with_what_the_function_takes():
    with pytest.raises(ConfigError) as caught:
        chosen("adagrad", learning_rate=0.1, epsilon=1.0)

    assert caught.value.hint.endswith("initial_accumulator_value, eps")


def test_what_optax_refuses_is_told_as_an_error_of_the_config(monkeypatch):
    def refuse(learning_rate, **arguments):
        raise ValueError("a decay of\n2 grows")

    choice = chosen("novograd", learning_rate=0.1)
    monkeypatch.setitem(_functions(), "novograd", refuse)

    with pytest.raises(ConfigError, match=r"optimizer: optax\.novograd refuses its arguments: a decay of 2 grows"):
        choice.load()(choice.config, total_steps=10, num_data=1)


def test_every_member_documents_its_settings_and_has_the_arguments_of_its_function():
    for name in OPTAX.members():
        schema = OPTAX.config_class(name)
        function = getattr(optax, name, None) or getattr(optax.contrib, name)
        arguments = set(inspect.signature(function).parameters)
        own = set(schema.model_fields) & arguments

        assert all(schema.model_fields[key].description for key in own), name
        assert schema.__doc__.startswith(f'`[optimizer] name = "optax:{name}"`.')
        assert OPTAX.config_class(name) is schema


def test_the_state_of_every_member_is_of_arrays_that_a_checkpoint_can_hold():
    for name in OPTAX.members():
        schema = OPTAX.config_class(name)
        needed = {
            key: 1 if field.annotation is int else 0.5
            for key, field in schema.model_fields.items()
            if field.is_required()
        }
        optimizer = transformation(schema(**needed), total_steps=10, num_data=1)

        kinds = {leaf.dtype.kind for leaf in jax.tree.leaves(optimizer.init(PARAMS))}
        assert kinds <= set("biuf"), name


def test_what_is_called_unfit_is_no_member():
    assert set(OPTAX.members()).isdisjoint(UNFIT)


def test_settings_are_written_and_read_as_those_of_any_optimizer(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[model]\nname = "lstm"\n[optimizer]\nname = "optax:prodigy"\nbetas = [0.8, 0.99]\n')

    config = load_config(file, REGISTRY)
    file.write_text(config.to_toml())

    assert load_config(file, REGISTRY).to_dict() == config.to_dict()
    assert config.to_dict()["optimizer"]["name"] == "optax:prodigy"
    assert config.optimizer.found.record()["name"] == "optax:prodigy"


def test_the_schema_takes_a_family_by_the_beginning_of_its_name():
    schemas = json_schema(REGISTRY)["properties"]["optimizer"]["oneOf"]
    (family,) = [one for one in schemas if one["title"] == "optimizer optax"]

    assert family["properties"]["name"] == {"type": "string", "pattern": "^optax:"}
    assert family["required"] == ["name"]
