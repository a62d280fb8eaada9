"""Every built-in optimizer, and some of optax's, have the properties that each optimizer must have."""

from __future__ import annotations

import pytest

from lmtool.testing import checks

BUILT_IN = {
    "sgd": {"learning_rate": 0.1, "schedule": "plateau", "plateau_factor": 0.9},
    "asgd": {"learning_rate": 0.1, "schedule": "plateau", "average_from": 2},
    "adamw": {"learning_rate": 0.02, "schedule": "wsd", "warmup_steps": 10, "weight_decay": 0.01},
    "rmsprop": {"learning_rate": 0.01, "momentum": 0.5, "centered": True},
    "adafactor": {"learning_rate": 0.05, "schedule": "linear", "min_size_to_factor": 2, "momentum": 0.5},
    "lion": {"learning_rate": 0.01, "weight_decay": 0.01},
    "muon": {"learning_rate": 0.02, "schedule": "cosine"},
    "schedule-free": {"learning_rate": 0.05, "warmup_steps": 10, "weight_decay": 0.01},
}
"""Settings that learn fast, as many kinds of them as there are. The plain `sgd` and `adamw`: test_descent.py."""

OPTAX = {
    "acprop": {"learning_rate": 0.02},
    "adabelief": {"learning_rate": 0.02},
    "adagrad": {"learning_rate": 0.2},
    "adamax": {"learning_rate": 0.02},
    "adan": {"learning_rate": 0.02},
    "amsgrad": {"learning_rate": 0.02},
    "lamb": {"learning_rate": 0.02},
    "novograd": {"learning_rate": 0.02, "schedule": "inverse-sqrt", "warmup_steps": 50},
    "optimistic_gradient_descent": {"learning_rate": 0.05},
    "prodigy": {"schedule": "cosine"},
    "radam": {"learning_rate": 0.02},
    "scale_by_yogi": {"learning_rate": 0.02},
}
"""Of different families, with and without a learning rate of their own, of `optax` and of `optax.contrib`."""

EXPECTED_FAILURES = {
    "optax:prodigy-no_gradient_no_move": "optax divides by the sum of gradients, which is zero",
    "optax:scale_by_yogi-no_gradient_no_move": "its mean of gradients begins above zero",
}

CASES = {**BUILT_IN, **{f"optax:{name}": settings for name, settings in OPTAX.items()}}
PROPERTIES = [
    pytest.param(
        check,
        id=f"{name}-{label}",
        marks=[pytest.mark.xfail(reason=EXPECTED_FAILURES[f"{name}-{label}"], strict=True)]
        if f"{name}-{label}" in EXPECTED_FAILURES
        else [],
    )
    for name, settings in CASES.items()
    for label, check in checks("optimizer", name, settings).items()
]


@pytest.mark.parametrize("check", PROPERTIES)
def test_optimizer_has_every_property(check):
    check()


def test_every_built_in_optimizer_is_tried():
    from lmtool.registry import Registry

    elsewhere = {"optax", "vadg"}  # test_of_optax.py, test_vadg.py
    assert set(Registry(third_party=False).names("optimizer")) - elsewhere == set(BUILT_IN)
