"""Means over several runs, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rich.console import Console

from lmtool.evaluation.repeated import Outcome, student_t, summarise, summary_of, table


def test_mean_deviation_and_interval_by_hand():
    found = summary_of([1.0, 2.0, 3.0], folds=False)

    # sd 1; the 97.5 % quantile of t with 2 degrees of freedom is 4.302653
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)


def test_folds_are_not_independent():
    found = summary_of([1.0, 2.0, 3.0], folds=True)

    assert found.high == pytest.approx(2 + 4.302653 * math.sqrt(1 / 3 + 1 / 2), abs=1e-5)


def test_one_run_has_no_deviation():
    assert summary_of([0.5], folds=False).to_json() == {"mean": 0.5, "sd": None, "low": None, "high": None, "n": 1}


def test_an_infinite_figure_is_said_and_has_no_interval():
    assert summary_of([1.0, math.inf], folds=False).to_json()["mean"] == "Infinity"
    assert summary_of([1.0, math.inf], folds=False).sd is None


def test_quantiles_of_student():
    assert [round(student_t(degrees), 3) for degrees in (1, 4, 30)] == [12.706, 2.776, 2.042]


def test_the_seeds_of_a_fold_count_once():
    values = {(0, 0): 0.2, (0, 1): 0.4, (1, 0): 0.6, (1, 1): 0.8}
    outcomes = [Outcome(f"{key}", *key, {"accuracy": value}) for key, value in values.items()]

    found = summarise(outcomes)["accuracy"]

    assert (found.n, found.mean) == (2, pytest.approx(0.5))
    assert found.sd == pytest.approx(np.std([0.3, 0.7], ddof=1))


def test_without_folds_each_seed_counts():
    outcomes = [Outcome("", None, seed, {"a": float(seed), "b": 1.0} if seed else {"a": 0.0}) for seed in range(3)]

    assert {name: one.n for name, one in summarise(outcomes).items()} == {"a": 3}


def test_the_table_leaves_out_what_is_the_accuracy_by_another_name():
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - closed with the console
    outcomes = [Outcome("", None, seed, {"accuracy": 0.5, "f1_micro": 0.5, "f1_macro": 0.25}) for seed in range(2)]

    console.print(table(summarise(outcomes)))
    shown = console.export_text()
    console.file.close()

    assert "accuracy" in shown
    assert "0.2500 ± 0.0000" in shown
    assert "f1_micro" not in shown
