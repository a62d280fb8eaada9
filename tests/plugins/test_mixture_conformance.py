"""Mixtures through the conformance kit."""

from __future__ import annotations

import mixture_corpus
import pytest

from lmtool.testing import checks

MIXTURES = {
    "ngrams": {"runs": ["trigram", "unigram"]},
    "ngram-and-lstm": {"runs": ["trigram", "lstm"], "weights": [0.6, 0.4]},
    "with-caches": {
        "runs": ["trigram", "lstm"],
        "caches": [
            {"kind": "unigram", "window": 10, "half_life": 5.0},
            {"kind": "neural", "run": "lstm", "window": 15, "theta": 0.5},
        ],
        "weights": [0.4, 0.2, 0.2, 0.2],
    },
    "log-linear": {"runs": ["trigram", "lstm"], "mode": "log-linear", "weights": [0.6, 0.3]},
    "tuned-log-linear": {"runs": ["trigram", "unigram"], "mode": "log-linear", "tuning_tokens": 50},
    "tuned-caches": {"runs": ["trigram"], "caches": [{"kind": "unigram", "window": [5, 100]}]},
}


def ready(config):
    """The config with the paths of runs instead of their names."""
    corpus = mixture_corpus.made()
    caches = [{**one, "run": corpus.run(one["run"])} if "run" in one else one for one in config.get("caches", [])]
    return {**config, "runs": [corpus.run(name) for name in config["runs"]], "caches": caches}


@pytest.mark.parametrize("label", sorted(checks("model", "mixture", {"runs": ["any"]})))
@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_has_every_property_of_a_language_model(name, label):
    checks("model", "mixture", ready(MIXTURES[name]))[label]()
