"""`lmtool eval` of classifiers: one definition, side by side, with what chance would give."""

from __future__ import annotations

import json

import pytest


def results(done):
    assert done.code == 0, done.stderr
    return done.json["results"]


def test_json_says_what_was_measured(lmtool, labelled):
    done = lmtool("eval", labelled / "linear", "--json")

    (result,) = results(done)
    assert (result["run"], result["model"], result["split"]) == (str(labelled / "linear"), "linear", "test")
    assert (result["labels"], result["multi_label"]) == (["house", "trade", "water"], False)
    assert result["counts"]["documents"] == 40
    assert {"accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted", "log_loss"} <= set(
        result["metrics"]
    )
    assert sum(map(sum, result["details"]["confusion"]["matrix"])) == 40
    assert [row["support"] for row in result["details"]["classes"]] == [
        sum(row) for row in result["details"]["confusion"]["matrix"]
    ]
    assert done.json["comparisons"] == []
    assert "test split" in done.stderr


def test_labelled_text_gives_the_same_figures_as_the_split_that_was_made_of_it(lmtool, labelled):
    (split,) = results(lmtool("eval", labelled / "bayes", "--on", "test", "--json"))
    (file,) = results(lmtool("eval", labelled / "bayes", "--on", labelled / "test.jsonl", "--json"))

    assert file["metrics"] == split["metrics"]
    assert file["details"] == split["details"]
    assert (file["data"], file["split"]) == (str(labelled / "test.jsonl"), None)


def test_runs_are_compared_with_the_first_one(lmtool, labelled):
    done = lmtool("eval", labelled / "linear", labelled / "cnn", labelled / "bayes", "--json")

    one, other, _ = results(done)
    compared = {(row["run"], row["metric"]): row for row in done.json["comparisons"]}
    accuracy = compared[str(labelled / "cnn"), "accuracy"]
    gained = other["metrics"]["accuracy"]["value"] - one["metrics"]["accuracy"]["value"]
    assert len(compared) == 4
    assert accuracy["first"] == str(labelled / "linear")
    assert accuracy["value"] == pytest.approx(gained)
    # a network of two steps knows nothing, the linear model all
    assert accuracy["p_value"] < 0.01
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"] < 0
    assert "confusion" not in one["details"]


def test_people_see_tables_side_by_side_and_classes_if_they_ask(lmtool, labelled):
    done = lmtool("eval", labelled / "linear", labelled / "cnn")
    detailed = lmtool("eval", labelled / "linear", labelled / "cnn", "--details")
    alone = lmtool("eval", labelled / "linear")

    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "\x1b" not in done.stdout
    assert rows["accuracy"].count("*") == 1
    assert "exact McNemar" in done.stdout
    assert "* best on the same documents" in done.stdout
    assert "true \\ predicted" not in done.stdout
    assert detailed.stdout.count("true \\ predicted") == 2
    assert alone.stdout.count("true \\ predicted") == 1
    assert "exact McNemar" not in alone.stdout


def test_other_evaluators_may_be_asked_for(lmtool, labelled):
    evaluators = 'evaluation.evaluators=["auc", "calibration", {name="top-k", k=[2]}]'

    (result,) = results(lmtool("eval", labelled / "linear", "--json", "--set", evaluators))

    assert {"roc_auc_macro", "average_precision_weighted", "ece", "brier", "top_2_accuracy"} <= set(result["metrics"])
    assert "accuracy" not in result["metrics"]
    assert set(result["details"]["reliability"][0]) == {"from", "to", "n", "confidence", "accuracy", "stderr"}


def test_reliability_is_drawn_of_runs_side_by_side(lmtool, labelled):
    runs = labelled / "linear", labelled / "bayes"

    done = lmtool("eval", *runs, "--reliability", "drawn.svg", "--json")
    again = lmtool("eval", *runs, "--reliability", "again.svg")

    one, other = results(done)
    assert "drew drawn.svg" in done.stderr
    assert {"accuracy", "ece", "brier"} <= set(one["metrics"])
    drawn = (lmtool.cwd / "drawn.svg").read_text()
    for result in (one, other):  # Matplotlib notes each text as a comment
        assert f"ECE {result['metrics']['ece']['value']:.4f}" in drawn
        assert f"{result['run'][-30:]} -->" in drawn
    assert again.code == 0
    assert (lmtool.cwd / "again.svg").read_text() == drawn


def test_documents_may_have_any_number_of_labels(lmtool, labelled):
    (result,) = results(lmtool("eval", labelled / "several", "--json"))
    shown = lmtool("eval", labelled / "several")

    assert result["multi_label"]
    assert {"subset_accuracy", "f1_samples", "f1_micro", "log_loss"} <= set(result["metrics"])
    assert [len(matrix) for matrix in result["details"]["confusion"]["matrices"]] == [2] * len(result["labels"])
    assert "subset_accuracy" in shown.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--set", 'evaluation.evaluators=["perplexity"]'], 2, "'perplexity' takes tokens, a classifier gives classes"),
        (["--set", 'evaluation.evaluators=["log-loss", "log-loss"]'], 2, "'log-loss' stands there twice"),
        (
            ["--set", 'evaluation.evaluators=[{name="top-k", k=[1]}, {name="top-k", k=[1, 2]}]'],
            2,
            "give 'top_1_accuracy'",
        ),
        (["--set", 'evaluation.evaluators=[{name="top-k", k=[0]}]'], 2, "must be at least 1"),
        (["--on", "unlabelled.jsonl"], 1, "no label"),
        (["--reliability", "drawn.gif"], 2, "its name must end in one of .png, .svg, .pdf"),
        (["--reliability", "nowhere/drawn.png"], 1, "nowhere"),
        (["--on", "strange.jsonl"], 1, "has the label 'fire'"),
    ],
)
def test_mistakes_are_one_line(lmtool, labelled, options, code, message):
    for name, record in (("unlabelled", {"text": "The lamp ."}), ("strange", {"text": "The lamp .", "label": "fire"})):
        (lmtool.cwd / f"{name}.jsonl").write_text(json.dumps(record) + "\n")

    done = lmtool("eval", labelled / "linear", *options)

    error = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert (done.code, done.stdout) == (code, "")
    assert message in error


def test_classifiers_and_language_models_do_not_stand_side_by_side(lmtool, labelled, tiny):
    done = lmtool("eval", tiny / "words", labelled / "linear")
    details = lmtool("eval", tiny / "words", "--details")
    drawn = lmtool("eval", tiny / "words", "--reliability", "words.png")

    assert done.code == 2
    assert "is a classifier and" in done.stderr
    assert details.code == 2
    assert "--details are about classes" in details.stderr
    assert drawn.code == 2
    assert "--reliability is about classes" in drawn.stderr
