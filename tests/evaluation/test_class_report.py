"""Classifiers side by side: figures, what is best, what compares, and what JSON holds."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from fake_models import Counting, LabelledText, Letters
from rich.console import Console

from lmtool.config import EvaluationConfig
from lmtool.evaluation import class_report, make_evaluators
from lmtool.evaluation.class_tables import detail_tables
from lmtool.evaluation.classes import evaluate_classes
from lmtool.evaluation.evaluated_text import Text as EvaluatedText
from lmtool.evaluation.tables import p_value
from lmtool.registry import Registry

TEXTS, LABELS = ["aab", "bb", "cca", "ab", "cc", "b"], ["a", "b", "c", "b", "c", "a"]
# what `Counting` says: a, b, c, a (the first of equals), c, b: four of six are right


class Always(Counting):
    """Says one class, with the probability 0.8."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def log_probs(self, documents):
        return np.log(np.tile(np.where(np.arange(3) == self.number, 0.8, 0.1), (len(documents), 1)))


def text_of(ids):
    return EvaluatedText(ids, "data", "test", ("t.txt",), chosen=True)


def result(run="run", *, model=None, texts=TEXTS, labels=LABELS, evaluators=None, letters="abc"):
    model = model or Counting()
    config = EvaluationConfig(evaluators=evaluators or ["classification", "log-loss", "confusion", "calibration"])
    split = LabelledText(texts, labels)
    evaluation = evaluate_classes(model, split, make_evaluators(config, Registry(), takes="classes"))
    return class_report.ClassResult(run, "counting", Letters(letters), "letters", text_of(split), evaluation)


def printed(tables, width=200):
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table, crop=False)
    return console.file.getvalue()


def rows(results):
    lines = printed(class_report.tables(results, 200)).splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines if line.strip()}


def test_figures_are_those_of_the_predictions():
    metrics = result().evaluation.metrics

    assert metrics["accuracy"].value == pytest.approx(4 / 6)
    # a: one of two predicted, one of two found; b: one of two, one of two; c: both of both
    assert metrics["f1_macro"].value == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_a_classifier_is_given_many_documents_but_not_all_at_once():
    model = Counting()
    texts = ["abc"] * 3000

    result(model=model, texts=texts, labels=["a"] * 3000)

    assert sum(model.asked) == 3000
    assert max(model.asked) <= 1024


def test_json_has_figures_details_and_comparisons():
    results = [result("one"), result("other", model=Always(1))]

    answer = class_report.to_json(results, class_report.compare(results))

    one = answer["results"][0]
    assert answer["schema"] == 1
    assert (one["labels"], one["multi_label"]) == (["a", "b", "c"], False)
    assert one["counts"]["documents"] == 6
    assert one["metrics"]["accuracy"]["n"] == 6
    assert one["details"]["confusion"]["matrix"] == [[1, 1, 0], [1, 1, 0], [0, 0, 2]]
    assert [row["label"] for row in one["details"]["classes"]] == ["a", "b", "c"]
    compared = answer["comparisons"][0]
    # `Always` says b: right for two of six; it alone is right once (ab), `Counting` alone three times (aab, cca, cc)
    assert (compared["run"], compared["first"], compared["metric"]) == ("other", "one", "accuracy")
    assert compared["value"] == pytest.approx(-2 / 6)
    assert compared["p_value"] == pytest.approx(2 * (1 + 4) / 2**4)
    json.dumps(answer, allow_nan=False)


def test_a_probability_of_zero_is_valid_json():
    model = Counting(multi_label=True)

    one = result(model=model, texts=["b"], labels=["a"], evaluators=["log-loss"])

    answer = json.dumps(class_report.to_json([one], []), allow_nan=False)
    assert json.loads(answer)["results"][0]["metrics"]["log_loss"]["value"] == "Infinity"


def test_the_highest_accuracy_and_the_lowest_loss_are_best():
    results = [result("one"), result("other", model=Always(1))]

    assert class_report.best_of(results, "accuracy") == {0}
    assert class_report.best_of(results, "f1_weighted") == {0}
    loss = [one.evaluation.metrics["log_loss"].value for one in results]
    assert class_report.best_of(results, "log_loss") == {int(np.argmin(loss))}
    assert rows(results)["accuracy"][0] == "*"
    assert "* best on the same documents" in class_report.legend(results)


@pytest.mark.parametrize(
    "other",
    [
        result("other", model=Always(1), texts=["aab", "bb", "cca", "ab", "cc", "bc"]),
        result("other", model=Always(1), labels=["a", "b", "c", "b", "c", "b"]),
    ],
)
def test_other_texts_and_other_labels_do_not_compare(other):
    results = [result("one"), other]

    assert class_report.best_of(results, "accuracy") == set()
    assert class_report.compare(results) == []
    assert class_report.legend(results) == ["± is one standard error"]


def test_another_tokenizer_changes_nothing_for_the_comparison():
    results = [result("one"), result("other", model=Always(1), letters="abcd")]

    assert class_report.best_of(results, "accuracy") == {0}
    assert len(class_report.compare(results)) == 1


def test_one_run_alone_has_no_best():
    assert class_report.best_of([result()], "accuracy") == set()


def test_micro_averages_that_are_accuracy_are_left_out_for_people():
    shown = rows([result()])

    assert "f1_macro" in shown
    assert "f1_micro" not in shown
    labels = result(model=Counting(multi_label=True), evaluators=["classification"])
    assert "f1_micro" in rows([labels])


def test_each_class_and_each_confusion_is_shown():
    text = printed(detail_tables(result().evaluation.details, 200))

    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert "precision" in text
    # the last of the tables that begin with a class is the matrix: its number, then what was predicted
    assert lines["a"] == ["1", "1", "1", "·"]
    assert lines["c"] == ["3", "·", "·", "2"]
    assert "confidence" in text


def test_a_matrix_that_is_too_wide_gives_way_to_the_most_frequent_confusions():
    text = printed(detail_tables(result().evaluation.details, 12), width=100)

    confusions = text[text.index("most frequent confusions") :].split("confidence")[0].splitlines()
    assert "true \\ predicted" not in text
    # of the two documents of a, one is taken for b; and the other way round
    assert [line.split() for line in confusions[2:4]] == [["a", "b", "1", "50.0%"], ["b", "a", "1", "50.0%"]]


def test_all_tables_are_in_order_and_details_name_their_run():
    results = [result("one"), result("other", model=Always(1))]
    comparisons = class_report.compare(results)

    plain = printed(class_report.all_tables(results, comparisons, 200, details=False))
    detailed = printed(class_report.all_tables(results, comparisons, 200, details=True))

    assert "beside one" in plain
    assert "exact McNemar" in plain
    assert "predicted" not in plain
    assert detailed.index("beside one") < detailed.index("true \\ predicted")
    # a title above each of the three tables of a run
    titles = [line.strip() for line in detailed.splitlines()]
    assert (titles.count("one"), titles.count("other")) == (3, 3)


@pytest.mark.parametrize(("p", "expected"), [(1.0, "1.00"), (0.034, "0.034"), (0.00123, "0.0012"), (1e-7, "<0.0001")])
def test_p_values_have_two_digits(p, expected):
    assert p_value(p) == expected
