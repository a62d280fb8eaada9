"""Evaluators of classifiers: what scikit-learn says of the same predictions, whatever is missing from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from lmtool.api import ClassPredictions, Metric
from lmtool.testing import class_predictions, conformance
from lmtool_evaluators.auc import AreaUnderCurve
from lmtool_evaluators.calibration import Calibration
from lmtool_evaluators.classification import Classification
from lmtool_evaluators.config import (
    AreaUnderCurveConfig,
    CalibrationConfig,
    ClassificationConfig,
    ConfusionConfig,
    LogLossConfig,
    TopKConfig,
)
from lmtool_evaluators.confusion import Confusion
from lmtool_evaluators.log_loss import LogLoss
from lmtool_evaluators.top_k import TopK

NAMES = ("precision", "recall", "f1")
FEW = settings(max_examples=60, deadline=None)


@conformance("evaluator", "classification", config={"bootstrap": 50})
def test_classification_has_every_property_of_an_evaluator(check):
    check()


@conformance("evaluator", "confusion")
def test_confusion_has_every_property_of_an_evaluator(check):
    check()


@conformance("evaluator", "top-k", config={"k": [1, 2, 5]})
def test_top_k_has_every_property_of_an_evaluator(check):
    check()


@conformance("evaluator", "auc")
def test_auc_has_every_property_of_an_evaluator(check):
    check()


@conformance("evaluator", "log-loss")
def test_log_loss_has_every_property_of_an_evaluator(check):
    check()


@conformance("evaluator", "calibration")
def test_calibration_has_every_property_of_an_evaluator(check):
    check()


def evaluate(evaluator, predictions: ClassPredictions) -> dict[str, Metric]:
    return evaluator.compute(evaluator.update(evaluator.init(), predictions))


def details(evaluator, predictions: ClassPredictions):
    return evaluator.details(evaluator.update(evaluator.init(), predictions))


def counted(predictions: ClassPredictions, bootstrap: int = 0) -> dict[str, Metric]:
    return evaluate(Classification(ClassificationConfig(bootstrap=bootstrap)), predictions)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(count))


def one_class(targets: list[int], predicted: list[int], size: int) -> ClassPredictions:
    """Predictions that give the predicted class 0.9, the others the rest."""
    probs = np.full((len(targets), size), 0.1 / max(size - 1, 1))
    probs[np.arange(len(targets)), predicted] = 0.9
    return ClassPredictions(np.log(probs), np.array(targets, np.int64), names(size))


def any_labels(targets: np.ndarray, predicted: np.ndarray) -> ClassPredictions:
    log_probs = np.log(np.where(predicted, 0.8, 0.3))
    return ClassPredictions(log_probs, targets, names(targets.shape[1]))


@st.composite
def guesses(draw):
    """True and predicted classes: some absent, perhaps only one, perhaps never predicted."""
    size = draw(st.integers(1, 6))
    classes = st.sampled_from(draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=size)))
    pairs = draw(st.lists(st.tuples(classes, st.integers(0, size - 1)), min_size=1, max_size=30))
    return one_class(*map(list, zip(*pairs, strict=True)), size)


@st.composite
def labellings(draw):
    rows, size = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    bits = st.lists(st.booleans(), min_size=rows * size, max_size=rows * size)
    return any_labels(*(np.array(draw(bits)).reshape(rows, size) for _ in range(2)))


@st.composite
def scored(draw):
    """Probabilities and true classes; equal probabilities are frequent."""
    size, rows = draw(st.integers(2, 5)), draw(st.integers(1, 25))
    numbers = draw(st.lists(st.integers(1, 6), min_size=size * rows, max_size=size * rows))
    weights = np.array(numbers, np.float64).reshape(rows, size)
    targets = draw(st.lists(st.integers(0, size - 1), min_size=rows, max_size=rows))
    return ClassPredictions(np.log(weights / weights.sum(1, keepdims=True)), np.array(targets, np.int64), names(size))


# Accuracy, precision, recall, F1 --------------------------------------------------------------------------------------


@FEW
@given(guesses())
def test_figures_of_documents_with_one_class_are_those_of_scikit_learn(predictions):
    found = counted(predictions)

    targets, predicted = predictions.targets, predictions.predicted
    assert found["accuracy"].value == pytest.approx(sklearn_metrics.accuracy_score(targets, predicted))
    for average in ("macro", "micro", "weighted"):
        expected = sklearn_metrics.precision_recall_fscore_support(targets, predicted, average=average, zero_division=0)
        assert [found[f"{name}_{average}"].value for name in NAMES] == pytest.approx(expected[:3])


@FEW
@given(labellings())
def test_figures_of_documents_with_any_number_of_labels_are_those_of_scikit_learn(predictions):
    found = counted(predictions)

    targets, predicted = predictions.targets, predictions.predicted
    assert found["subset_accuracy"].value == pytest.approx(sklearn_metrics.accuracy_score(targets, predicted))
    for average in ("macro", "micro", "weighted", "samples"):
        expected = sklearn_metrics.precision_recall_fscore_support(targets, predicted, average=average, zero_division=0)
        assert [found[f"{name}_{average}"].value for name in NAMES] == pytest.approx(expected[:3])


@FEW
@given(guesses())
def test_each_class_has_the_figures_of_scikit_learn(predictions):
    table = details(Classification(ClassificationConfig()), predictions)["classes"]

    labels = range(len(predictions.labels))
    expected = sklearn_metrics.precision_recall_fscore_support(
        predictions.targets, predictions.predicted, labels=labels, zero_division=0
    )
    assert [row["label"] for row in table] == list(predictions.labels)
    for name, values in zip((*NAMES, "support"), expected, strict=True):
        assert [row[name] for row in table] == pytest.approx(values.tolist())
    assert [row["predicted"] for row in table] == np.bincount(predictions.predicted, minlength=len(labels)).tolist()


@FEW
@given(guesses() | labellings())
def test_drawn_texts_are_judged_as_the_text_itself_is(predictions):
    from lmtool_evaluators.classification import _all_averages
    from lmtool_evaluators.outcomes import Outcomes

    outcomes = Outcomes.of(predictions)
    drawn = _all_averages(outcomes, np.stack([outcomes.counts, 3 * outcomes.counts]).astype(float))

    for name, metric in counted(predictions).items():
        if not name.endswith("accuracy"):
            assert drawn[name].tolist() == pytest.approx([metric.value] * 2)


@pytest.mark.parametrize("sample", [class_predictions.of_classes(300, 4), class_predictions.of_labels(300, 4)])
def test_standard_errors_are_the_spread_over_texts_of_drawn_documents(sample):
    predictions = class_predictions.join(sample)
    rng = np.random.default_rng(1)

    drawn = []
    for _ in range(150):
        rows = rng.integers(0, 300, 300)
        again = ClassPredictions(predictions.log_probs[rows], predictions.targets[rows], predictions.labels)
        drawn.append({name: metric.value for name, metric in counted(again).items()})

    # each spread is known to about 1/sqrt(2 · 150), 6 %, ours to 2 %
    for name, metric in counted(predictions, bootstrap=1000).items():
        assert metric.stderr == pytest.approx(np.std([one[name] for one in drawn]), rel=0.25), name


def test_an_accuracy_has_the_standard_error_of_a_mean():
    # three of four are right: the variance of 1, 1, 1, 0 is (3 · 1/16 + 9/16) / 3 = 1/4
    found = counted(one_class([0, 1, 2, 0], [0, 1, 2, 1], 3))

    assert found["accuracy"] == Metric(0.75, 4, stderr=pytest.approx((1 / 4 / 4) ** 0.5))


def test_the_same_seed_draws_the_same_texts_and_none_has_no_spread():
    predictions = class_predictions.join(class_predictions.of_classes(50, 4))

    assert counted(predictions, bootstrap=20) == counted(predictions, bootstrap=20)
    assert {metric.stderr for name, metric in counted(predictions).items() if name != "accuracy"} == {None}


def test_many_classes_are_drawn_in_blocks_that_together_are_one_draw(monkeypatch):
    predictions = class_predictions.join(class_predictions.of_classes(50, 4))
    at_once = counted(predictions, bootstrap=20)
    monkeypatch.setattr("lmtool_evaluators.classification._BLOCK", 30)

    assert counted(predictions, bootstrap=20) == at_once


# The confusion matrix -------------------------------------------------------------------------------------------------


@FEW
@given(guesses())
def test_the_confusion_matrix_is_that_of_scikit_learn(predictions):
    found = details(Confusion(ConfusionConfig()), predictions)["confusion"]

    labels = list(range(len(predictions.labels) + 1))  # one more than there are: scikit-learn warns of a single one
    expected = sklearn_metrics.confusion_matrix(predictions.targets, predictions.predicted, labels=labels)[:-1, :-1]
    assert found == {"labels": list(predictions.labels), "matrix": expected.tolist()}


@FEW
@given(labellings())
def test_each_label_has_the_confusion_matrix_of_scikit_learn(predictions):
    found = details(Confusion(ConfusionConfig()), predictions)["confusion"]

    expected = sklearn_metrics.multilabel_confusion_matrix(predictions.targets, predictions.predicted)
    assert found["matrices"] == expected.tolist()


# Ranks, losses --------------------------------------------------------------------------------------------------------


@FEW
@given(st.integers(0, 1000), st.integers(3, 6))
def test_top_k_accuracy_is_that_of_scikit_learn(seed, size):
    predictions = class_predictions.join(class_predictions.of_classes(20, size, seed=seed))

    found = evaluate(TopK(TopKConfig(k=[1, 2, 9])), predictions)

    assert set(found) == {"top_1_accuracy", "top_2_accuracy"}, "among nine of fewer classes is every class"
    for k in (1, 2):
        expected = sklearn_metrics.top_k_accuracy_score(
            predictions.targets, predictions.log_probs, k=k, labels=range(size)
        )
        assert found[f"top_{k}_accuracy"].value == pytest.approx(expected)


def test_the_likeliest_labels_of_a_document_may_be_several_that_are_true():
    # the two likeliest of the first document are both true, of the second one is
    probs = np.array([[0.9, 0.8, 0.1], [0.9, 0.2, 0.3]])
    targets = np.array([[True, True, False], [False, False, True]])

    found = evaluate(TopK(TopKConfig(k=[2])), ClassPredictions(np.log(probs), targets, names(3)))

    assert found["precision_at_2"].value == pytest.approx((2 / 2 + 1 / 2) / 2)


@FEW
@given(scored())
def test_log_loss_is_that_of_scikit_learn(predictions):
    found = evaluate(LogLoss(LogLossConfig()), predictions)["log_loss"]

    probs = np.exp(predictions.log_probs)
    expected = sklearn_metrics.log_loss(predictions.targets, probs, labels=range(len(predictions.labels)))
    nats = -predictions.log_probs[np.arange(len(probs)), predictions.targets]
    assert found.value == pytest.approx(expected)
    if len(nats) > 1:
        assert found.stderr == pytest.approx(nats.std(ddof=1) / len(nats) ** 0.5, abs=1e-12)


def test_the_log_loss_of_labels_is_a_sum_over_the_labels_of_a_document():
    predictions = class_predictions.join(class_predictions.of_labels(20, 4))

    expected = sklearn_metrics.log_loss(predictions.targets.ravel(), np.exp(predictions.log_probs).ravel())
    assert evaluate(LogLoss(LogLossConfig()), predictions)["log_loss"].value == pytest.approx(4 * expected)


def test_a_label_that_is_almost_sure_and_false_costs_what_it_must():
    # 1 - p is e^-50, far below what is left of 1 - exp(ln p)
    log_probs = np.array([[-np.exp(-50.0), np.log(0.5)]])

    found = evaluate(LogLoss(LogLossConfig()), ClassPredictions(log_probs, np.array([[False, True]]), names(2)))

    assert found["log_loss"].value == pytest.approx(50 + np.log(2))


# Curves ---------------------------------------------------------------------------------------------------------------


@FEW
@given(scored())
def test_areas_are_those_of_scikit_learn_for_the_classes_that_have_one(predictions):
    found = evaluate(AreaUnderCurve(AreaUnderCurveConfig()), predictions)

    defined = [c for c in range(len(predictions.labels)) if 0 < (predictions.targets == c).mean() < 1]
    true = predictions.targets[:, None] == np.array(defined, int)
    support = true.sum(axis=0)
    if not defined:
        assert found == {}
        return
    for name, area in (
        ("roc_auc", sklearn_metrics.roc_auc_score),
        ("average_precision", sklearn_metrics.average_precision_score),
    ):
        areas = [area(column, predictions.log_probs[:, c]) for c, column in zip(defined, true.T, strict=True)]
        assert found[f"{name}_macro"].value == pytest.approx(np.mean(areas))
        assert found[f"{name}_weighted"].value == pytest.approx(np.average(areas, weights=support))


def test_areas_of_all_classes_are_those_of_scikit_learn_in_one_call():
    predictions = class_predictions.join(class_predictions.of_classes(200, 2) + class_predictions.of_classes(200, 2))
    three = class_predictions.join(
        [piece for piece in class_predictions.of_classes(200, 4) if piece.targets[0] < 3],
    )
    probs = np.exp(three.log_probs[:, :3])
    probs /= probs.sum(axis=1, keepdims=True)

    found = evaluate(AreaUnderCurve(AreaUnderCurveConfig()), ClassPredictions(np.log(probs), three.targets, names(3)))
    binary = evaluate(AreaUnderCurve(AreaUnderCurveConfig()), predictions)

    for average in ("macro", "weighted"):
        expected = sklearn_metrics.roc_auc_score(three.targets, probs, multi_class="ovr", average=average)
        assert found[f"roc_auc_{average}"].value == pytest.approx(expected)
    expected = sklearn_metrics.roc_auc_score(predictions.targets, predictions.log_probs[:, 1])
    assert binary["roc_auc_macro"].value == pytest.approx(expected)


@pytest.mark.parametrize("sample", [class_predictions.of_classes(200, 4), class_predictions.of_labels(200, 3)])
def test_standard_errors_of_areas_are_the_spread_over_texts_of_drawn_documents(sample):
    predictions = class_predictions.join(sample)
    evaluator, rng = AreaUnderCurve(AreaUnderCurveConfig()), np.random.default_rng(1)

    drawn = []
    for _ in range(120):
        rows = rng.integers(0, 200, 200)
        again = ClassPredictions(predictions.log_probs[rows], predictions.targets[rows], predictions.labels)
        drawn.append({name: metric.value for name, metric in evaluate(evaluator, again).items()})

    # a spread over 120 draws is known to 1/sqrt(2 · 120), 6.5 %
    for name, metric in evaluate(evaluator, predictions).items():
        assert metric.stderr == pytest.approx(np.std([one[name] for one in drawn]), rel=0.25), name


# Calibration ----------------------------------------------------------------------------------------------------------


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    # ten documents with 0.9, of which seven are right: one bin, |0.7 - 0.9|; the other class has 0.1
    found = evaluate(Calibration(CalibrationConfig()), one_class([0] * 7 + [1] * 3, [0] * 10, 2))

    assert found["ece"].value == pytest.approx(0.2)
    assert found["adaptive_ece"].value == pytest.approx(0.2), "equal confidences are not parted"
    # 7 · 2 · 0.1² + 3 · 2 · 0.9², over 10
    assert found["brier"].value == pytest.approx((7 * 0.02 + 3 * 1.62) / 10)


def test_bins_of_equal_width_weigh_what_they_hold():
    # confidence 0.6 twice, right once; 0.9 twice, right twice: (2 · 0.1 + 2 · 0.1) / 4
    probs = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    predictions = ClassPredictions(np.log(probs), np.array([0, 1, 0, 0]), names(2))

    evaluator = Calibration(CalibrationConfig(bins=10))
    assert evaluate(evaluator, predictions)["ece"].value == pytest.approx(0.1)
    low, high = details(evaluator, predictions)["reliability"]
    # of two documents, a half away from the mean each: √(2 · ½² · 2/1) / 2
    assert (low["n"], low["accuracy"], low["stderr"]) == (2, 0.5, pytest.approx(0.5))
    assert (high["from"], high["to"], high["confidence"]) == (0.9, 1.0, pytest.approx(0.9))


def test_bins_of_equal_size_part_documents_evenly():
    # one bin of equal width holds all four; two of two each part those that are right from those that are wrong
    probs = np.array([0.98, 0.97, 0.96, 0.95])
    right = np.array([True, True, False, False])
    predictions = ClassPredictions(np.log(np.stack([probs, 1 - probs], 1)), np.where(right, 0, 1), names(2))

    found = evaluate(Calibration(CalibrationConfig(bins=2)), predictions)

    assert found["ece"].value == pytest.approx(abs(0.5 - probs.mean()))
    assert found["adaptive_ece"].value == pytest.approx((0.025 + 0.955) / 2)


def test_the_share_that_is_right_has_the_standard_error_of_documents_and_a_single_one_none():
    # two documents with three labels each, all with 0.5: of one document all are so, of the other none
    several = ClassPredictions(np.log(np.full((2, 3), 0.5)), np.array([[True] * 3, [False] * 3]), names(3))
    one = ClassPredictions(np.log([[0.9, 0.1]]), np.array([0]), names(2))

    (row,) = details(Calibration(CalibrationConfig()), several)["reliability"]
    (single,) = details(Calibration(CalibrationConfig()), one)["reliability"]

    # labels of a document go together: as of two figures, 0 and 1, not of six
    assert (row["n"], row["accuracy"], row["stderr"]) == (6, 0.5, pytest.approx(0.5))
    assert single["stderr"] is None


@FEW
@given(scored())
def test_brier_score_is_that_of_scikit_learn(predictions):
    found = evaluate(Calibration(CalibrationConfig()), predictions)["brier"].value

    probs = np.exp(predictions.log_probs)
    true = predictions.targets[:, None] == np.arange(len(predictions.labels))
    assert found == pytest.approx(((probs - true) ** 2).sum(axis=1).mean())
    if len(predictions.labels) == 2 and true.any(axis=0).all():
        assert found == pytest.approx(2 * sklearn_metrics.brier_score_loss(predictions.targets, probs[:, 1]))


def test_the_standard_error_of_calibration_is_the_spread_over_texts_of_drawn_documents():
    # far from calibrated, so that no bin's gap changes its sign
    rng = np.random.default_rng(0)
    probs = rng.uniform(0.5, 1, 500)
    predictions = ClassPredictions(
        np.log(np.stack([probs, 1 - probs], 1)), (rng.random(500) < 0.6).astype(np.int64), names(2)
    )
    evaluator = Calibration(CalibrationConfig(bins=3))

    drawn = []
    for _ in range(300):
        rows = rng.integers(0, 500, 500)
        again = ClassPredictions(predictions.log_probs[rows], predictions.targets[rows], predictions.labels)
        drawn.append(evaluate(evaluator, again)["ece"].value)

    assert evaluate(evaluator, predictions)["ece"].stderr == pytest.approx(np.std(drawn), rel=0.16)
