"""Mixtures through the conformance kit."""

from __future__ import annotations

import mixture_corpus
import pytest

from lmtool.testing import checks

MIXTURES = {
    "ngrams": {"runs": ["trigram", "unigram"]},
    "ngram-and-lstm": {"runs": ["trigram", "lstm"], "weights": [0.6, 0.4]},
}


def ready(config):
    """The config with the paths of runs instead of their names."""
    corpus = mixture_corpus.made()
    return {**config, "runs": [corpus.run(name) for name in config["runs"]]}


@pytest.mark.parametrize("label", sorted(checks("model", "mixture", {"runs": ["any"]})))
@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_has_every_property_of_a_language_model(name, label):
    checks("model", "mixture", ready(MIXTURES[name]))[label]()
