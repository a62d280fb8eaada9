"""Batches through a network, several at once."""

from __future__ import annotations

import threading
import time

from lmtool.tasks import side_by_side as module
from lmtool.tasks.side_by_side import AHEAD, side_by_side


def test_results_come_in_order_and_batches_are_made_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(module, "most_at_once", lambda: 2)
    made = []

    def batches():
        for number in range(20):
            made.append(number)
            yield number, number, 1

    found = side_by_side(lambda number, one: number + one, batches())

    assert next(found) == (0, 1)
    assert len(made) <= 2 * AHEAD + 1
    assert list(found) == [(number, number + 1) for number in range(1, 20)]


def test_who_stops_does_not_wait_for_what_nobody_reads(monkeypatch):
    monkeypatch.setattr(module, "most_at_once", lambda: 1)
    begun, go_on = [], threading.Event()

    def slow(number):
        begun.append(number)
        if number:
            go_on.wait(60)
        return number

    found = side_by_side(slow, ((number, number) for number in range(20)))
    next(found)
    threading.Timer(0.05, go_on.set).start()
    while len(begun) < 2:  # the second one is being computed, the third one waits
        time.sleep(0.001)
    found.close()

    assert begun == [0, 1]
