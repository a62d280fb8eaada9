"""The linear model is what every classifier must be, with each of its classifiers and features."""

from __future__ import annotations

import pytest

from lmtool.testing import conformance

pytestmark = pytest.mark.filterwarnings("error")


@conformance("model", "linear")
def test_linear(check):
    check()


@conformance("model", "linear", config={"words": 1, "chars": [2, 4], "idf": False, "classifier": "logistic"})
def test_linear_logistic(check):
    check()


@conformance("model", "linear", config={"unit": "token", "classifier": "complement-naive-bayes", "tf": "binary"})
def test_linear_naive_bayes(check):
    check()


@conformance("model", "linear", config={"nb_features": True, "class_weights": "balanced"})
def test_linear_nb_svm(check):
    check()
