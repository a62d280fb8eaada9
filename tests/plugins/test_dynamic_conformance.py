"""Dynamic models through the conformance kit."""

from __future__ import annotations

import mixture_corpus
import pytest

from lmtool.testing import checks

MODELS = {
    "rms": {"segment": 5, "statistics_tokens": 100, "epsilon": 1.0, "learning_rate": 0.003, "decay": 0.01},
    "sgd": {"segment": 7, "update": "sgd", "learning_rate": [0.3, 1.0], "decay": 0.0, "tuning_tokens": 50},
}


@pytest.mark.parametrize("label", sorted(checks("model", "dynamic", {"run": "any"})))
@pytest.mark.parametrize("name", MODELS)
def test_a_dynamic_model_has_every_property_of_a_language_model(name, label):
    run = mixture_corpus.made().run("lstm")
    checks("model", "dynamic", {**MODELS[name], "run": run})[label]()
