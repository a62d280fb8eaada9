"""What processes that train together tell each other, without JAX: threads and a dictionary stand for them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmtool.errors import ConfigError, DataError, ExitCode, LmtoolError
from lmtool.training.processes import Processes


class Service:
    """As the client of JAX's coordination service."""

    def __init__(self):
        self.values, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value):
        with self.changed:
            assert key not in self.values
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key, milliseconds):
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.values, timeout=300)
            return self.values[key]


@pytest.fixture
def service(monkeypatch):
    service = Service()
    monkeypatch.setattr("lmtool.training.processes._service", lambda: service)
    return service


@pytest.fixture
def everywhere(service):
    """Calls a function with each of three processes at once: what it returned, or the exception."""

    def call(function):
        with ThreadPoolExecutor(3) as threads:
            futures = [threads.submit(function, Processes(index, 3)) for index in range(3)]
        return [future.exception() or future.result() for future in futures]

    return call


def test_all_have_what_the_first_has_found(everywhere):
    assert everywhere(lambda one: [one.first(lambda: {"best": one.index}), one.first(lambda: 2)]) == [
        [{"best": 0}, 2]
    ] * 3  # fmt: skip


def test_nobody_goes_on_before_all_have_had_their_turn(everywhere):
    done = []

    def work(one):
        if one.index == 1:
            assert not threading.Event().wait(0.05), "the others would be through by now"
        done.append(one.index)
        return one.index * 10

    def turn(one):
        return one.in_turn(lambda: work(one)), sorted(done), one.first(lambda: "next")

    assert everywhere(turn) == [(index * 10, [0, 1, 2], "next") for index in range(3)]
    assert done[0] == 0


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_in_a_turn_is_that_of_all(everywhere, failing):
    def work(one):
        if one.index == failing:
            raise DataError("no such text", hint="look again")

    raised = everywhere(lambda one: one.in_turn(lambda: work(one)))

    assert [(type(one), one.message, one.hint) for one in raised] == [(DataError, "no such text", "look again")] * 3


def test_a_plugins_own_kind_of_error_keeps_its_exit_code(everywhere):
    class NoNetworkError(DataError):
        """Of a plugin; the other processes know only ours."""

    def work():
        raise NoNetworkError("no network")

    raised = everywhere(lambda one: one.first(work))

    assert [type(one) for one in raised] == [NoNetworkError, DataError, DataError]
    assert {one.exit_code for one in raised} == {ExitCode.FAILED}


def test_a_bug_of_one_ends_all_and_says_whose_it_was(everywhere):
    def work(one):
        if one.index == 1:
            json.loads("{")

    raised = everywhere(lambda one: one.in_turn(lambda: work(one)))

    assert isinstance(raised[1], json.JSONDecodeError)
    assert [(type(one), one.message) for one in (raised[0], raised[2])] == [
        (LmtoolError, "process 1 failed: JSONDecodeError")
    ] * 2  # fmt: skip


def test_one_that_waits_asks_again_so_that_signals_are_heard(service, monkeypatch):
    from jax.errors import JaxRuntimeError

    asked = []

    def get(key, milliseconds):
        asked.append(milliseconds)
        if len(asked) < 3:
            raise JaxRuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out")
        return '{"value": 7}'

    monkeypatch.setattr(service, "blocking_key_value_get", get)

    assert Processes(1, 2).first(lambda: None) == 7
    assert max(asked) < 10_000, "nobody should have to kill it"


def test_a_process_that_was_given_another_config_is_told(service, dataset, registry, tmp_path):
    from lmtool.config import load_config
    from lmtool.run import Run
    from lmtool.signals import StopRequest
    from lmtool.training import train

    def config(hidden_size):
        flags = {"model.name": "lstm", "model.hidden_size": hidden_size, "data.path": str(dataset.path)}
        return load_config(None, registry, flags=flags, overrides=())

    Run.create(tmp_path / "run", config(12), dataset, registry, force=False)
    service.key_value_set("lmtool/1/0", '{"value": null}')  # process 0 has made the run

    with pytest.raises(ConfigError, match=r"was begun with model.hidden_size 12, now it is 13"):
        train(config(13), dataset, tmp_path / "run", registry, stop=StopRequest(), processes=Processes(1, 2))
    assert "model.hidden_size" in service.values["lmtool/1/1"]
