"""The embedding bag is what every classifier must be, with each of its features and weightings."""

from __future__ import annotations

import pytest

from lmtool.testing import conformance

pytestmark = pytest.mark.filterwarnings("error")

QUICK = {"dim": 8, "epochs": 20, "batch_size": 16, "learning_rate": 0.05}


@conformance("model", "bag", config=QUICK)
def test_bag(check):
    check()


@conformance("model", "bag", config={**QUICK, "units": "tokens", "weighting": "mean", "buckets": 500})
def test_bag_of_tokens(check):
    check()


@conformance(
    "model",
    "bag",
    config={**QUICK, "char_ngrams": [2, 3], "members": 2, "word_dropout": 0.2, "dropout": 0.2, "label_smoothing": 0.1,
            "l2": 0.01, "dim": 2},
)  # fmt: skip
def test_bags_together(check):
    check()
