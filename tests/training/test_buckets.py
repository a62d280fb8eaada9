"""Lengths to the few widths that batches have, and epochs of batches."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.tasks.buckets import UNIT, assign, choose_widths, epoch_plan


def padding_of(lengths, widths):
    return sum(min(width for width in widths if width >= length) - length for length in lengths)


@settings(deadline=None)
@given(st.lists(st.integers(1, 6 * UNIT), min_size=1, max_size=30), st.floats(0, 0.6))
def test_no_other_widths_pad_less_and_no_fewer_keep_the_bound(lengths, bound):
    widths = choose_widths(np.array(lengths), bound)

    def best(number):
        choices = itertools.combinations(range(UNIT, 6 * UNIT + 1, UNIT), number)
        return min(padding_of(lengths, choice) for choice in choices if choice[-1] >= max(lengths))

    def share(padding):
        return padding / (padding + sum(lengths))

    assert widths == tuple(sorted(set(widths)))
    assert padding_of(lengths, widths) == best(len(widths))
    if len(widths) > 1:
        assert share(best(len(widths) - 1)) > bound


def test_widths_of_very_long_documents_are_chosen_from_a_bounded_number():
    # a table of all pairs of multiples of UNIT would take 125 GB
    lengths = np.array([5, 400, 90_000, 1_000_000])

    widths = choose_widths(lengths, 0.01)

    assert widths[-1] >= 1_000_000
    assert all(width % UNIT == 0 for width in widths)
    # each document is padded by less than what widths are multiples of: a multiple of UNIT, about 1,000,000 / 1024
    assert padding_of(lengths.tolist(), widths) < 4 * (1_000_000 / 1024 + UNIT)


def test_a_document_lies_in_the_first_width_that_holds_it():
    assert assign(np.array([1, 8, 9, 16, 99]), (8, 16)).tolist() == [0, 0, 1, 1, 1]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=1, max_size=5), st.integers(0, 3))
def test_an_epoch_has_each_member_once_in_batches_of_its_bucket(buckets, epoch):
    sizes, rows = [size for size, _ in buckets], [size for _, size in buckets]
    members = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])

    plan = epoch_plan(members, rows, [7, epoch])

    assert sorted(one for _, batch in plan for one in batch.tolist()) == list(range(sum(sizes)))
    for bucket, batch in plan:
        assert set(batch.tolist()) <= set(members[bucket].tolist())
        assert 0 < len(batch) <= rows[bucket]
    assert len(plan) == sum(-(-size // most) for size, most in buckets)  # no more batches than it takes
    again = epoch_plan(members, rows, [7, epoch])
    assert [batch.tolist() for _, batch in plan] == [batch.tolist() for _, batch in again]


def test_epochs_differ_in_batches_and_in_their_order():
    members = [np.arange(100), np.arange(100, 200)]

    first, second = (epoch_plan(members, [10, 20], [0, epoch]) for epoch in (0, 1))

    assert [bucket for bucket, _ in first] != [bucket for bucket, _ in second]
    assert {tuple(sorted(batch)) for _, batch in first} != {tuple(sorted(batch)) for _, batch in second}
    assert [bucket for bucket, _ in first] != sorted(bucket for bucket, _ in first)  # buckets take turns
