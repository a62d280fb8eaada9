"""Signals: at once where nothing can be saved half-way, deferred where it can."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from lmtool.errors import ExitCode, Interrupted
from lmtool.signals import StopRequest


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_what_cannot_wait(number):
    with StopRequest(), pytest.raises(Interrupted, match=f"stopped by {number.name}") as caught:
        send(number)

    assert caught.value.exit_code == ExitCode.SAVED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_deferred_signal_is_only_noted(number):
    with StopRequest() as stop, stop.deferred():
        send(number)
        assert stop.signal_name == number.name


def test_control_c_ends_what_cannot_wait():
    with StopRequest(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_a_second_control_c_does_not_wait():
    with StopRequest() as stop, stop.deferred():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_repeated_terminations_do_not_disturb_saving():
    with StopRequest() as stop, stop.deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert stop.signal_name == "SIGTERM"


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_nothing_is_installed():
    names = []

    def work():
        with StopRequest() as stop:
            names.append(stop.signal_name)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert names == [None]
