"""Standard errors, intervals and paired comparisons of figures that are made of sums."""

from __future__ import annotations

import numpy as np
import pytest

from lmtool.evaluation.bootstrap import drawn_sums, paired_differences, spread


class Means:
    """Two figures of [sum, count]: the mean, and twice the mean."""

    names = ("mean", "twice")

    def figures(self, totals):
        return {"mean": float(totals[0] / totals[1]), "twice": float(2 * totals[0] / totals[1])}


def with_counts(values):
    return np.stack([values, np.ones(len(values))], axis=1)


def test_sums_are_of_as_many_texts_as_there_are():
    statistics = with_counts(np.arange(7.0))

    sums = drawn_sums(statistics, seed=3)

    assert sums.shape == (2000, 2)
    assert (sums[:, 1] == 7).all()
    # a draw's sum is that of seven numbers from 0 to 6: 21 in the mean, with a deviation of √(7 · 4)
    assert sums[:, 0].mean() == pytest.approx(21, abs=5 * np.sqrt(28 / 2000))
    assert sums[:, 0].std() == pytest.approx(np.sqrt(28), rel=0.1)
    assert np.array_equal(sums, drawn_sums(statistics, seed=3))
    assert not np.array_equal(sums, drawn_sums(statistics, seed=4))


def test_many_texts_are_drawn_in_blocks(monkeypatch):
    statistics = with_counts(np.random.default_rng(0).normal(size=50))
    expected = drawn_sums(statistics)
    monkeypatch.setattr("lmtool.evaluation.bootstrap._BLOCK", 1000)

    assert np.allclose(drawn_sums(statistics), expected, rtol=1e-12)


def test_the_spread_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(5, 2, 400)

    found = spread(Means(), with_counts(values))

    expected = values.std() / np.sqrt(400)
    assert found["mean"].stderr == pytest.approx(expected, rel=0.1)
    assert found["twice"].stderr == pytest.approx(2 * expected, rel=0.1)
    assert found["mean"].low == pytest.approx(values.mean() - 1.96 * expected, abs=0.3 * expected)
    assert found["mean"].high == pytest.approx(values.mean() + 1.96 * expected, abs=0.3 * expected)


@pytest.mark.parametrize("values", [[3.0], [3.0, np.inf]])
def test_one_text_has_no_spread_nor_have_infinite_figures(values):
    assert spread(Means(), with_counts(np.array(values))) == {}


def test_what_is_better_on_every_text_is_better_by_more_than_chance():
    values = np.random.default_rng(0).normal(0, 10, 50)

    mean, twice = paired_differences(Means(), with_counts(values), with_counts(values + 0.1))

    # texts differ by far more than the models, but the models by the same on each
    assert (mean.metric, mean.n, mean.test) == ("mean", 50, "paired bootstrap")
    assert mean.value == pytest.approx(0.1)
    assert twice.value == pytest.approx(0.2)
    assert mean.low == pytest.approx(0.1)
    assert mean.high == pytest.approx(0.1)
    assert mean.p_value == 2 / 2001


def test_a_model_is_not_better_than_itself():
    values = with_counts(np.random.default_rng(0).normal(size=20))

    (one,) = paired_differences(Means(), values, values, names=["mean"])

    assert (one.value, one.low, one.high, one.p_value) == (0, 0, 0, 1)


def test_p_values_are_those_of_a_test_on_the_mean_gap():
    gaps = np.random.default_rng(1).normal(0.2, 1, 100)
    z = gaps.mean() / (gaps.std() / 10)

    (one,) = paired_differences(Means(), with_counts(np.zeros(100)), with_counts(gaps), names=["mean"])

    from scipy.stats import norm

    assert one.p_value == pytest.approx(2 * norm.sf(abs(z)), abs=0.03)
    assert (one.p_value < 0.05) == (one.low > 0 or one.high < 0)
