"""Every token is a target exactly once an epoch, whatever the sizes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.errors import DataError
from lmtool.tasks.windows import Windows


def windows(num_tokens, batch_size, bptt, *, seed=0, shift=True):
    ids = np.arange(num_tokens, dtype=np.int32)
    split = SimpleNamespace(name="train", num_tokens=num_tokens, read=lambda start, stop: ids[start:stop])
    return Windows(split, batch_size=batch_size, bptt=bptt, seed=seed, shift=shift)


sizes = st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(1, 11), st.booleans(), st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_every_token_is_a_target_once_and_its_input_is_the_token_before(drawn):
    num_tokens, batch_size, bptt, shift, epoch = drawn
    made = windows(num_tokens, batch_size, bptt, shift=shift)
    seen = []
    for step in range(epoch * made.steps_per_epoch, (epoch + 1) * made.steps_per_epoch):
        batch = made.batch(step)
        assert {array.shape for array in batch.values()} == {(batch_size, bptt)}
        assert batch["mask"].any()
        targets, inputs = (batch[name][batch["mask"]] for name in ("targets", "inputs"))
        seen += targets.tolist()
        assert (inputs == (targets - 1) % num_tokens).all()

    assert sorted(seen) == list(range(num_tokens))


@settings(max_examples=30, deadline=None)
@given(sizes)
def test_padding_comes_after_the_last_token_of_a_row(drawn):
    made = windows(*drawn[:3])
    for step in range(made.steps_per_epoch):
        mask = made.batch(step)["mask"].astype(int)
        assert (np.diff(mask, axis=1) <= 0).all()


def test_a_row_goes_on_where_it_was_in_the_window_before():
    made = windows(100, batch_size=4, bptt=7, shift=False)
    first, second = made.batch(0), made.batch(1)

    assert first["targets"][:, 0].tolist() == [0, 25, 50, 75]
    assert (second["inputs"][:, 0] == first["targets"][:, -1]).all()


def test_batches_are_a_function_of_seed_and_step():
    one, other = windows(100, 4, 7, seed=1), windows(100, 4, 7, seed=1)
    other.batch(3)  # what was asked for before makes no difference

    assert (one.batch(8)["targets"] == other.batch(8)["targets"]).all()
    assert (windows(100, 4, 7, seed=2).batch(8)["targets"] != one.batch(8)["targets"]).any()


def test_epochs_are_cut_at_other_places():
    made = windows(1000, 4, 25)

    assert made.batch(0)["targets"][0, 0] != made.batch(made.steps_per_epoch)["targets"][0, 0]


def test_an_empty_split_is_an_error():
    with pytest.raises(DataError, match="train split has no tokens"):
        windows(0, 1, 1)
