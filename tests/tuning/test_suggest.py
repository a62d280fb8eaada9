"""What is tried next, and what is given up."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtool.tuning.record import Point, Trial
from lmtool.tuning.space import parse_space
from lmtool.tuning.suggest import STARTUP, SURE, is_hopeless, suggest

SPACE = parse_space(["optimizer.rate=1e-4..1:log", "model.size=1..64:int"])


def done(number, settings, value, epochs=1):
    """A finished trial whose loss falls to a value."""
    points = tuple(Point(10 * epoch, float(epoch), value + epochs - epoch) for epoch in range(1, epochs + 1))
    return Trial(number, settings, "finished", points)


def quadratic(settings):
    """0 at a rate of 0.01 and a size of 20."""
    return math.log10(settings["optimizer.rate"] / 0.01) ** 2 + ((settings["model.size"] - 20) / 30) ** 2


def searched(count, seed=0, first=None, trials=()):
    trials = list(trials)
    while len(trials) < count:
        settings = suggest(SPACE, seed, trials, first or {})
        trials.append(done(len(trials), settings, quadratic(settings)))
    return trials


def test_a_hidden_minimum_is_found():
    trials = searched(25)

    values = [one.best.value for one in trials]
    # Below 0.05 lies an ellipse of half axes 0.22 (of 4 decades) and 6.7 (of 64 sizes): 2 % of the space.
    assert min(values) < 0.05
    assert statistics.median(values[-12:]) < statistics.median(values[:STARTUP]) / 2


def test_suggestions_depend_on_the_seed_and_the_trials_alone():
    whole = searched(9)
    resumed = searched(9, trials=[Trial.from_json(one.to_json()) for one in searched(7)])

    assert resumed == whole
    assert searched(2, seed=1) != whole[:2]


def test_the_first_trial_is_the_config_as_it_is():
    first = suggest(SPACE, 0, [], {"optimizer.rate": 0.002, "model.size": 128})

    assert first["optimizer.rate"] == 0.002
    assert first["model.size"] in range(1, 65)  # 128 is outside


@given(seed=st.integers(0, 2**31))
def test_suggestions_lie_in_the_space(seed):
    settings = suggest(SPACE, seed, [], {})

    assert list(settings) == list(SPACE)
    assert all(value in SPACE[key] for key, value in settings.items())


def test_no_combination_is_tried_twice_and_then_there_is_none():
    space = parse_space(["model.kind=a,b", "model.size=1..2:int"])
    trials = []
    while (settings := suggest(space, 3, trials, {})) is not None:
        trials.append(done(len(trials), settings, 1.0))

    assert len(trials) == 4
    assert len({tuple(one.settings.values()) for one in trials}) == 4


def test_others_keep_away_from_what_diverged():
    space = parse_space(["optimizer.rate=0..1"])
    trials = []
    for number in range(30):
        settings = suggest(space, 0, trials, {})
        fails = settings["optimizer.rate"] > 0.5
        trials.append(Trial(number, settings, "diverged") if fails else done(number, settings, 1.0))

    assert sum(one.state == "diverged" for one in trials[15:]) <= 3  # by chance alone 7 or 8


def test_running_trials_and_unfinished_points_are_told_to_the_sampler():
    trials = searched(8)
    pruned = Trial(8, {"optimizer.rate": 0.5, "model.size": 3}, "pruned", (Point(10, 0.5, 3.0),))
    running = Trial(9, {"optimizer.rate": 0.02, "model.size": 21})

    assert suggest(SPACE, 0, [*trials, pruned, running], {}) not in [one.settings for one in [*trials, pruned, running]]


def trial(*values, every=1.0, state="started", number=99):
    points = tuple(Point(index, index * every, value) for index, value in enumerate(values, 1))
    return Trial(number, {}, state, points)


FOUR = [
    trial(*values, state="finished", number=number) for number, values in enumerate([[5, 1], [4, 2], [3, 3], [2, 4]])
]


def test_a_trial_below_the_median_of_the_same_epoch_goes_on():
    # After the first epoch the finished ones had 5, 4, 3, 2: their median is 3.5.
    assert not is_hopeless(trial(3.4), FOUR)
    assert is_hopeless(trial(3.6), FOUR)


def test_what_counts_is_the_best_so_far():
    # After the second: 1, 2, 3, 2; median 2.
    assert not is_hopeless(trial(1.9, 9.0), FOUR)
    assert is_hopeless(trial(3.4, 2.1), FOUR)


def test_epochs_are_compared_not_steps():
    assert not is_hopeless(trial(9.0, every=0.5), FOUR)  # nobody had validated after half an epoch
    assert is_hopeless(trial(9.0, 3.6, every=0.5), FOUR)


def test_few_finished_trials_are_not_enough():
    assert len(FOUR) == SURE
    assert not is_hopeless(trial(100.0), FOUR[:-1])
    assert not is_hopeless(trial(100.0), [*FOUR[:-1], trial(1.0, state="pruned"), trial(1.0)])


@pytest.mark.parametrize("state", ["diverged", "failed"])
def test_a_trial_that_came_to_nothing_has_no_value(state):
    assert trial(1.0, state=state).best is None
