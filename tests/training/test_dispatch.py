"""Several steps in one dispatch, and batches made ahead: nothing of it is seen in a result."""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.training.dispatch import dispatches, made_ahead, several_steps, stacked


def input_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("lmtool-input")]


@pytest.mark.parametrize("start", [0, 1, 7, 12])
def test_dispatches_take_every_step_once_and_go_past_no_stop(start):
    found = list(dispatches(start, 50, most=4, stops=[6, 10]))

    assert [step for one in found for step in range(one.first, one.first + one.num_steps)] == list(range(start, 50))
    for first, count in found:
        assert 1 <= count <= 4
        assert not any(step % 6 == 0 or step % 10 == 0 for step in range(first + 1, first + count))


FIXED = {"fixed": np.float32(0.9)}


def step(state, batch):
    """A recurrence that rounds: the order and number of turns can be told from its bits."""
    state = jnp.sin(state * 1.7) + batch["x"].sum() * batch["fixed"]
    return state, {"loss": state * 2, "number": batch["x"].shape[0] + jnp.zeros((), jnp.int32)}


def batch(number):
    return {"x": np.full(3, number / 7, np.float32)}


def test_several_steps_are_the_steps_one_after_another_however_they_are_parted():
    steps = several_steps(step, 4)
    ends, losses = [], []
    for parts in ([4, 3], [1, 2, 4], [1] * 7):
        state, first, found = jnp.ones(()), 0, []
        for count in parts:
            work = stacked([batch(first + number) for number in range(count)], 4)
            state, metrics = steps(state, (work, np.int32(count), FIXED))
            found += np.asarray(metrics["loss"])[:count].tolist()
            first += count
        ends.append(np.asarray(state).tobytes())
        losses.append(found)
    state, single = jnp.ones(()), []
    for number in range(7):
        state, metrics = jax.jit(step)(state, {**batch(number), **FIXED})
        single.append(float(metrics["loss"]))

    assert len(set(ends)) == 1
    assert losses[0] == losses[1] == losses[2]
    assert losses[0] == pytest.approx(single, rel=1e-5)
    assert steps._cache_size() == 1


def test_what_is_made_ahead_comes_in_order_and_at_most_so_far_ahead():
    made, asked = [], threading.Event()

    def make(item):
        made.append(item)
        if item == 2:
            asked.set()
        return item * item

    with made_ahead(make, range(9), ahead=2) as results:
        assert next(results) == 0
        assert asked.wait(10)  # one is read, two are made beyond it
        assert made == [0, 1, 2]
        assert list(results) == [item * item for item in range(1, 9)]
    assert input_threads() == []


def test_an_exception_of_the_maker_is_raised_where_its_result_is_asked_for():
    def make(item):
        if item == 1:
            raise OSError("the disk is gone")
        return item

    with made_ahead(make, range(9)) as results:
        assert next(results) == 0
        with pytest.raises(OSError, match="the disk is gone"):
            next(results)
    assert input_threads() == []


def test_the_thread_ends_with_its_reader():
    def interrupted():
        with made_ahead(lambda item: item, range(9)) as results:
            next(results)
            assert len(input_threads()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert input_threads() == []
