"""Paired tests between classifiers: what is known exactly, and what chance alone must give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from lmtool.api import ClassPredictions
from lmtool.evaluation import significance
from lmtool.evaluation.blocks import Blocks
from lmtool.evaluation.significance import DRAWS, differences, mcnemar, token_difference


def predictions(targets, predicted, size=3) -> ClassPredictions:
    probs = np.where(np.asarray(predicted)[:, None] == np.arange(size), 0.9, 0.1 / size)
    return ClassPredictions(np.log(probs), np.asarray(targets, np.int64), tuple(map(str, range(size))))


def labelled(targets, predicted) -> ClassPredictions:
    log_probs = np.log(np.where(predicted, 0.9, 0.1))
    return ClassPredictions(log_probs, targets, tuple(map(str, range(targets.shape[1]))))


def guesses(rng, targets, share, size=3):
    """Right with a probability, anything otherwise."""
    return np.where(rng.random(len(targets)) < share, targets, rng.integers(0, size, len(targets)))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(gained, lost):
    n, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))

    assert mcnemar(gained, lost) == pytest.approx(min(1.0, 2 * tail / 2**n))


def test_mcnemar_takes_many_documents():
    # far in the tail, and far too many for factorials: z = (b - c)/sqrt(b + c) = 2, two-sided 4.55 %
    assert mcnemar(101_000, 100_000 + 104) == pytest.approx(
        math.erfc(896 / math.sqrt(201_104) / math.sqrt(2)), rel=0.01
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_differences_are_those_of_the_figures_themselves(seed):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, 40)
    first, second = (guesses(rng, targets, 0.4) for _ in range(2))

    accuracy, macro = differences(predictions(targets, first, 4), predictions(targets, second, 4))

    f1 = [f1_score(targets, one, average="macro", zero_division=0) for one in (first, second)]
    assert accuracy.value == pytest.approx((second == targets).mean() - (first == targets).mean())
    assert macro.value == pytest.approx(f1[1] - f1[0])
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert macro.low <= macro.high


def test_labels_are_compared_by_documents_that_are_wholly_right():
    rng = np.random.default_rng(0)
    targets = rng.random((60, 4)) < 0.4
    first, second = (targets ^ (rng.random((60, 4)) < share) for share in (0.3, 0.05))

    accuracy, macro = differences(labelled(targets, first), labelled(targets, second))

    f1 = [f1_score(targets, one, average="macro", zero_division=0) for one in (first, second)]
    right = [(one == targets).all(axis=1) for one in (first, second)]
    assert accuracy.metric == "subset_accuracy"
    assert accuracy.value == pytest.approx(right[1].mean() - right[0].mean())
    assert accuracy.p_value == mcnemar((right[1] & ~right[0]).sum(), (right[0] & ~right[1]).sum())
    assert macro.value == pytest.approx(f1[1] - f1[0])
    assert macro.p_value < 0.01


def test_the_same_predictions_do_not_differ():
    same = predictions([0, 1, 2, 1], [0, 1, 1, 1])

    for one in differences(same, same):
        assert (one.value, one.low, one.high, one.p_value) == (0, 0, 0, 1)


def test_which_one_comes_first_changes_the_sign_alone():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 80)
    first, second = (predictions(targets, guesses(rng, targets, share)) for share in (0.3, 0.7))

    forward, back = differences(first, second), differences(second, first)

    for one, other in zip(forward, back, strict=True):
        assert other.value == pytest.approx(-one.value)
        # two estimates of one small probability from 2000 draws each
        assert other.p_value == pytest.approx(one.p_value, abs=0.02)


def test_the_same_seed_gives_the_same_answer_whatever_is_drawn_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 50)
    first, second = (predictions(targets, guesses(rng, targets, 0.5)) for _ in range(2))
    expected = differences(first, second)
    monkeypatch.setattr(significance, "_BLOCK", 40)

    for one, other in zip(expected, differences(first, second), strict=True):
        assert (one.p_value, one.low, one.high) == pytest.approx((other.p_value, other.low, other.high))
    assert differences(first, second, seed=1) != expected


def test_equally_good_classifiers_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(60):
        targets = rng.integers(0, 3, 100)
        first, second = (predictions(targets, guesses(rng, targets, 0.6)) for _ in range(2))
        p_values.append([one.p_value for one in differences(first, second)])

    # a p-value below 0.1 has a probability of at most 0.1: of 60, 6 ± 2.3; McNemar's is discrete, so there are fewer
    assert (np.array(p_values) < 0.1).sum(axis=0).max() <= 13
    # and the randomisation test is exact: about half are below one half
    assert 18 <= (np.array(p_values)[:, 1] < 0.5).sum() <= 42


def test_other_documents_do_not_compare():
    with pytest.raises(ValueError, match="other documents"):
        differences(predictions([0, 1], [0, 1]), predictions([1, 1], [0, 1]))


# Language models ------------------------------------------------------------------------------------------------------


def blocks(nats, tokens) -> Blocks:
    made = Blocks(0)
    made.nats, made.tokens = np.asarray(nats, float), np.asarray(tokens, np.int64)
    return made


def test_a_difference_in_nats_per_token_is_that_of_the_texts_as_wholes():
    found = token_difference(blocks([10.0, 40.0, 0.0], [10, 20, 0]), blocks([15.0, 20.0, 0.0], [10, 20, 0]))

    assert found.value == pytest.approx(35 / 30 - 50 / 30)
    assert found.low <= found.value <= found.high
    assert found.n == 2  # a block in which no line begins is none


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_equal_models_differ_by_chance_and_others_do_not(gap):
    rng = np.random.default_rng(0)
    tokens = rng.integers(100, 200, 200)
    hard = rng.normal(5, 1, 200) * tokens  # some blocks are harder for both

    first, second = (blocks(hard + rng.normal(more, 10, 200), tokens) for more in (0.0, gap * 10))
    found = token_difference(first, second)

    assert (found.p_value < 0.001) == bool(gap)
    assert (found.low <= 0 <= found.high) == (not gap)


def test_chance_alone_rarely_makes_small_p_values_of_blocks():
    rng = np.random.default_rng(0)
    tokens = np.full(50, 128)
    p = [token_difference(*(blocks(rng.normal(500, 20, 50), tokens) for _ in range(2))).p_value for _ in range(100)]

    # uniform over 100 texts: 5 below 0.05, sd 2.2; half below one half, sd 5
    assert sum(one < 0.05 for one in p) <= 12
    assert 30 <= sum(one < 0.5 for one in p) <= 70


def test_the_randomisation_of_few_blocks_is_a_binomial_count():
    # all ten differ by one in the same direction: 2 of 2^10 deals are as extreme, over 2000 drawn ones
    found = token_difference(blocks(np.zeros(10), np.full(10, 9)), blocks(np.ones(10), np.full(10, 9)))

    assert found.p_value == pytest.approx(2 / 1024, abs=4 * math.sqrt(2 / 1024 / DRAWS))


def test_blocks_of_other_texts_are_refused():
    with pytest.raises(ValueError, match="other texts"):
        token_difference(blocks([1.0, 2.0], [3, 4]), blocks([1.0, 2.0], [4, 3]))
